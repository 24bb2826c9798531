"""A MariaDB that speaks TLS, with a certificate of its own making."""

from __future__ import annotations

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cellplug.testing import services


def self_signed():
    """Key and certificate of 127.0.0.1 (PEM), valid for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, '127.0.0.1')])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    address = x509.IPAddress(ipaddress.ip_address('127.0.0.1'))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return (
        key.private_bytes(
            pem,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        ).decode(),
        certificate.public_bytes(pem).decode(),
    )


class TLSMariaDB(services.MariaDB):
    """Offers TLS to whoever asks for it.

    :ivar certificate: the path of its certificate, and of its authority's.
    """

    certificate = ''

    def _prepare(self):
        super()._prepare()
        key, certificate = self_signed()
        self._key = self._own().write('key.pem', key)
        self.certificate = self._own().write('certificate.pem', certificate)

    def _command(self):
        return [
            *super()._command(),
            f'--ssl-key={self._key}',
            f'--ssl-cert={self.certificate}',
        ]
