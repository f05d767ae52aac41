import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttscache.net.urls import is_loopback_host, unsafe_url_reason


@pytest.mark.parametrize(
    "url",
    [
        "https://iam.example/",
        "https://iam.example:8443/a?b=c",
        "https://[2001:db8::1]/",
        "http://127.0.0.1:8080/",
        "http://127.8.9.10/",
        "http://[::1]:80/",
        "http://localhost/",
        "HTTP://LOCALHOST/",
    ],
)
def test_urls_that_may_be_called(url: str) -> None:
    assert unsafe_url_reason(url) is None


@pytest.mark.parametrize(
    "url, word",
    [
        ("http://iam.example/", "https"),
        ("http://10.0.0.1/", "https"),
        ("http://localhost.example/", "https"),
        ("http://127.0.0.1.example/", "https"),
        ("http://127.1/", "https"),
        ("http://0.0.0.0/", "https"),
        ("file:///etc/passwd", "host"),
        ("ftp://iam.example/", "neither"),
        ("//iam.example/", "neither"),
        ("iam.example", "host"),
        ("", "host"),
        ("https://", "host"),
        ("https://iam.example:99999/", "URL"),
        ("https://[::1/", "URL"),
        ("https://user:secret@iam.example/", "password"),
        ("http://127.0.0.1\\@evil.example/", "user name"),
        ("https://iam.example/\r\nHost: evil", "URL"),
        ("https://iam.example/a b", "URL"),
        ("https://iam.example/\u202e", "URL"),
        ("https://i\u0430m.example/", "URL"),
    ],
)
def test_urls_that_may_not(url: str, word: str) -> None:
    reason = unsafe_url_reason(url)
    assert reason is not None
    assert word in reason


@given(st.text())
def test_any_text_gets_an_answer(text: str) -> None:
    assert unsafe_url_reason("http://" + text) is None or unsafe_url_reason(text) is not None
    is_loopback_host(text)
