"""The tests of the library, against `openssl` and Globus wherever they have a word to say."""
