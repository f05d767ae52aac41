"""An authorization server on loopback that behaves as INDIGO IAM does, its errors and its quirks included."""

from ttscache.sandbox.iam.config import Client, GrantType, IamConfig, User
from ttscache.sandbox.iam.faults import Fault
from ttscache.sandbox.iam.forms import password_form
from ttscache.sandbox.iam.server import EmbeddedIam

__all__ = ["Client", "EmbeddedIam", "Fault", "GrantType", "IamConfig", "User", "password_form"]
