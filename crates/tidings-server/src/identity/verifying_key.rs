//! A key that tells whether something was signed by its other half, with the one algorithm it is
//! for.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

/// Bytes in the modulus of an RSA key: 2,048 bits, the least that RFC 7518, 3.3 allows.
const RSA_MODULUS_BYTES_MIN: usize = 256;
/// Bytes in the modulus of an RSA key at most: more make a signature slow to check.
const RSA_MODULUS_BYTES_MAX: usize = 1024;
/// Bytes in a coordinate of P-256 and in a key of Ed25519.
const CURVE_BYTES: usize = 32;
/// Bytes in the PEM form of a public key.
const PEM_BYTES_MAX: usize = 16_384;

/// A key and its algorithm.
#[derive(Clone)]
pub(super) struct VerifyingKey {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl VerifyingKey {
    /// A shared secret, for HS256.
    pub(super) fn from_secret(secret: &[u8]) -> Self {
        Self { algorithm: Algorithm::HS256, key: DecodingKey::from_secret(secret) }
    }

    /// A public key in PEM form; the kind of key decides the algorithm.
    pub(super) fn from_public_pem(pem: &[u8]) -> Result<Self, KeyError> {
        if pem.len() > PEM_BYTES_MAX {
            return Err(KeyError::NotAPublicKey);
        }
        let kinds = [
            (Algorithm::RS256, DecodingKey::from_rsa_pem(pem)),
            (Algorithm::ES256, DecodingKey::from_ec_pem(pem)),
            (Algorithm::EdDSA, DecodingKey::from_ed_pem(pem)),
        ];
        let (algorithm, key) = kinds
            .into_iter()
            .find_map(|(algorithm, key)| Some((algorithm, key.ok()?)))
            .ok_or(KeyError::NotAPublicKey)?;
        let bytes = key.try_get_as_bytes().map_err(|_| KeyError::NotAPublicKey)?;
        match algorithm {
            // The structure around the modulus takes a few bytes more.
            Algorithm::RS256 if bytes.len() < RSA_MODULUS_BYTES_MIN => Err(KeyError::ShortRsa),
            // An uncompressed point: one byte, and two coordinates.
            Algorithm::ES256 if bytes.len() != 1 + 2 * CURVE_BYTES => Err(KeyError::OtherCurve),
            _ => Ok(Self { algorithm, key }),
        }
    }

    /// A key of a key set (RFC 7517), if it is one that can be used here: a public one of RSA, P-256
    /// or Ed25519, for signatures, and for the algorithm of its kind if it names any.
    pub(super) fn from_jwk(jwk: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        // A private key that is published is nobody's any more.
        if jwk.contains_key("d") || text("use").is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let verifies = |operations: &Value| {
            operations.as_array().is_some_and(|all| all.iter().any(|one| one == "verify"))
        };
        if !jwk.get("key_ops").is_none_or(verifies) {
            return None;
        }
        let (algorithm, key) = match (text("kty")?, text("crv")) {
            ("RSA", _) => {
                let modulus = bytes("n")?;
                let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
                let modulus = modulus.get(zeros..)?;
                let bounds = RSA_MODULUS_BYTES_MIN..=RSA_MODULUS_BYTES_MAX;
                // A first byte below 128 would make it a few bits too short.
                let is_full = *modulus.first()? >= 0x80 || modulus.len() > RSA_MODULUS_BYTES_MIN;
                if !bounds.contains(&modulus.len()) || !is_full {
                    return None;
                }
                let key = DecodingKey::from_rsa_raw_components(modulus, &bytes("e")?);
                (Algorithm::RS256, key)
            }
            ("EC", Some("P-256")) => {
                let right = [bytes("x")?, bytes("y")?].iter().all(|part| part.len() == CURVE_BYTES);
                let key = DecodingKey::from_ec_components(text("x")?, text("y")?).ok()?;
                right.then_some((Algorithm::ES256, key))?
            }
            ("OKP", Some("Ed25519")) => {
                let right = bytes("x")?.len() == CURVE_BYTES;
                let key = DecodingKey::from_ed_components(text("x")?).ok()?;
                right.then_some((Algorithm::EdDSA, key))?
            }
            // A symmetric key in a key set is a secret that was given away.
            _ => return None,
        };
        // RFC 9864 gives EdDSA with this curve the name of the curve.
        let named = |name: &str| match algorithm {
            Algorithm::RS256 => name == "RS256",
            Algorithm::ES256 => name == "ES256",
            _ => matches!(name, "EdDSA" | "Ed25519"),
        };
        let names_another = jwk.get("alg").is_some_and(|name| !name.as_str().is_some_and(named));
        (!names_another).then_some(Self { algorithm, key })
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether this message was signed by the key's other half; nothing when what should be a
    /// signature cannot be one.
    pub(super) fn has_signed(&self, message: &str, signature: &str) -> Option<bool> {
        let message = message.as_bytes();
        jsonwebtoken::crypto::verify(signature, message, &self.key, self.algorithm).ok()
    }
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Something else, or a kind of key that is not used here.
    #[error("it is no public key of RSA, P-256 or Ed25519 in PEM form")]
    NotAPublicKey,
    /// Something else, or a kind of key that is not used here.
    #[error("it is no private key of RSA, P-256 or Ed25519 in PEM form (PKCS #8)")]
    NotAPrivateKey,
    /// An RSA key that is too weak.
    #[error("it is an RSA key of fewer than 2048 bits; make a longer one")]
    ShortRsa,
    /// Another curve than P-256.
    #[error("it is a key of another curve than P-256")]
    OtherCurve,
}
