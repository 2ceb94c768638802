//! `[auth.session.authjs]`: the encrypted session cookies of Auth.js 5 and NextAuth 4.
//!
//! Both are a compact JWE (RFC 7516) with `alg` `dir` and a key derived from the application's
//! secret by HKDF-SHA-256. Auth.js 5 encrypts with A256CBC-HS512 and derives the key from the
//! cookie's name too; NextAuth 4 encrypts with A256GCM under one key for all names. The tag is
//! checked before anything is decrypted, and `exp` after.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    AES_256, AES_CBC_IV_LEN, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{hkdf, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Session, SessionError, claims};
use crate::config::AuthJs;
use crate::identity::Cookies;

/// Bytes in the key of A256CBC-HS512: the first half is for the tag, the second for the text
/// (RFC 7518, 5.2.5).
const CBC_KEY_BYTES: usize = 64;
/// Bytes in the tag of A256CBC-HS512: the first half of an HMAC-SHA-512.
const CBC_TAG_BYTES: usize = 32;
/// Bytes in the key of A256GCM.
const GCM_KEY_BYTES: usize = 32;
/// Bytes in the tag of A256GCM.
const GCM_TAG_BYTES: usize = 16;
/// The claim that is the session's id, where the application has put one in. Auth.js itself writes a
/// new `jti` each time it renews a cookie, so that names no session.
const SESSION_CLAIM: &str = "sid";

/// The cookies a session may be in, each with the keys it may be encrypted with.
pub(crate) struct EncryptedCookies {
    cookies: Vec<(String, Vec<CookieKey>)>,
    user_claim: String,
}

/// What one secret opens under one name.
struct CookieKey {
    authjs_5: [u8; CBC_KEY_BYTES],
    nextauth_4: [u8; GCM_KEY_BYTES],
}

impl EncryptedCookies {
    /// Derives every key there may be: a handful, once.
    pub(super) fn new(settings: &AuthJs) -> Self {
        let secrets = &settings.secrets;
        let cookie = |name: &str| {
            let key = |secret: &str| CookieKey::derive(secret.as_bytes(), name);
            (name.to_owned(), secrets.iter().map(|secret| key(secret.expose())).collect())
        };
        Self {
            cookies: settings.cookies.iter().map(|name| cookie(name.as_str())).collect(),
            user_claim: settings.user_claim.clone(),
        }
    }

    /// The session in the first of the cookies that the request has.
    pub(super) fn find(
        &self,
        cookies: &Cookies<'_>,
        now_ms: u64,
    ) -> Result<Option<Session>, SessionError> {
        for (name, keys) in &self.cookies {
            if let Some(value) = cookies.joined(name)? {
                let claims = Jwe::parse(&value)?.open_with(keys)?;
                return claims::read(&claims, &self.user_claim, SESSION_CLAIM, now_ms).map(Some);
            }
        }
        Ok(None)
    }
}

impl CookieKey {
    fn derive(secret: &[u8], cookie: &str) -> Self {
        let info = format!("Auth.js Generated Encryption Key ({cookie})");
        Self {
            authjs_5: derive(secret, cookie.as_bytes(), info.as_bytes()),
            nextauth_4: derive(secret, b"", b"NextAuth.js Generated Encryption Key"),
        }
    }
}

/// HKDF-SHA-256 (RFC 5869).
fn derive<const BYTES: usize>(secret: &[u8], salt: &[u8], info: &[u8]) -> [u8; BYTES] {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut key = [0; BYTES];
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(secret)
        .expand(&[info], Length(BYTES))
        .and_then(|output| output.fill(&mut key))
        .expect("HKDF-SHA-256 gives keys of up to 8,160 bytes");
    key
}

/// A compact JWE, taken apart.
struct Jwe<'a> {
    encryption: Encryption,
    /// The header as it was written, which the tag covers.
    header: &'a str,
    iv: Vec<u8>,
    text: Vec<u8>,
    tag: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Encryption {
    #[serde(rename = "A256CBC-HS512")]
    Cbc,
    #[serde(rename = "A256GCM")]
    Gcm,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    enc: Encryption,
    crit: Option<Value>,
    zip: Option<Value>,
}

impl<'a> Jwe<'a> {
    fn parse(value: &'a [u8]) -> Result<Self, SessionError> {
        let text = std::str::from_utf8(value).map_err(|_| SessionError::Shape)?;
        let parts: Vec<_> = text.split('.').collect();
        // With `dir` the part for an encrypted key is empty (RFC 7516, 5.1).
        let [header, "", iv, text, tag] = parts[..] else { return Err(SessionError::Shape) };
        let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| SessionError::Shape);
        let read: Header =
            serde_json::from_slice(&bytes(header)?).map_err(|_| SessionError::Shape)?;
        if read.alg != "dir" || read.crit.is_some() || read.zip.is_some() {
            return Err(SessionError::Shape);
        }
        Ok(Self {
            encryption: read.enc,
            header,
            iv: bytes(iv)?,
            text: bytes(text)?,
            tag: bytes(tag)?,
        })
    }

    /// What is in it, by whichever of the keys it was closed with.
    fn open_with(self, keys: &[CookieKey]) -> Result<Map<String, Value>, SessionError> {
        let opened = keys.iter().find_map(|key| match self.encryption {
            Encryption::Cbc => self.open_cbc(&key.authjs_5),
            Encryption::Gcm => self.open_gcm(&key.nextauth_4),
        });
        let opened = opened.ok_or(SessionError::Encryption)?;
        serde_json::from_slice(&opened).map_err(|_| SessionError::Shape)
    }

    /// RFC 7518, 5.2.2.2.
    fn open_cbc(&self, key: &[u8; CBC_KEY_BYTES]) -> Option<Vec<u8>> {
        let (tag_key, text_key) = key.split_at(CBC_KEY_BYTES / 2);
        let header_bits = u64::try_from(self.header.len()).ok()?.checked_mul(8)?;
        let mut tag = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA512, tag_key));
        tag.update(self.header.as_bytes());
        tag.update(&self.iv);
        tag.update(&self.text);
        tag.update(&header_bits.to_be_bytes());
        verify_slices_are_equal(&tag.sign().as_ref()[..CBC_TAG_BYTES], &self.tag).ok()?;

        let iv: [u8; AES_CBC_IV_LEN] = self.iv.as_slice().try_into().ok()?;
        let key = UnboundCipherKey::new(&AES_256, text_key).ok()?;
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
        let mut text = self.text.clone();
        let context = DecryptionContext::Iv128(FixedLength::from(iv));
        Some(key.decrypt(&mut text, context).ok()?.to_vec())
    }

    fn open_gcm(&self, key: &[u8; GCM_KEY_BYTES]) -> Option<Vec<u8>> {
        let iv: [u8; NONCE_LEN] = self.iv.as_slice().try_into().ok()?;
        // A shorter one would be easier to guess.
        if self.tag.len() != GCM_TAG_BYTES {
            return None;
        }
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
        let mut text = [self.text.as_slice(), self.tag.as_slice()].concat();
        let header = Aad::from(self.header.as_bytes());
        let opened = key.open_in_place(Nonce::assume_unique_for_key(iv), header, &mut text);
        Some(opened.ok()?.to_vec())
    }
}
