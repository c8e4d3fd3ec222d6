//! Page tokens: opaque, tamper-proof, good for one caller's one request only.
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::{
    error::Error,
    vault::{decrypt, encrypt},
};

/// Longest token that is looked at, bytes.
const MAX_TOKEN: usize = 4096;

/// What a page token is bound to; with another scope it is refused.
pub struct PageScope<'a> {
    /// Full method, e.g. `/ekiden.admin.v1.TenantService/ListTenants`.
    pub method: &'a str,
    /// The encoded request with its page size and page token cleared.
    pub request: &'a [u8],
    /// Tenant that the caller is bound to, if any.
    pub tenant: Option<&'a str>,
}

/// Makes and reads page tokens.
#[derive(Clone)]
pub struct PageTokens {
    key: Zeroizing<[u8; 32]>,
}

impl PageTokens {
    /// Tokens under this key.
    pub fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self { key }
    }

    /// Packs `cursor`, where the next page starts, into a token.
    ///
    /// # Errors
    /// [`Error::Internal`] when the operating system gives no randomness.
    pub fn issue(&self, scope: &PageScope<'_>, cursor: &[u8]) -> Result<String, Error> {
        Ok(URL_SAFE_NO_PAD.encode(encrypt(self.key.as_slice(), &place(scope), cursor)?))
    }

    /// The cursor inside `token`; none for the empty token, which starts a list.
    ///
    /// # Errors
    /// [`Error::Invalid`] on `page_token` when it was not issued for this scope.
    pub fn read(&self, scope: &PageScope<'_>, token: &str) -> Result<Option<Vec<u8>>, Error> {
        if token.is_empty() {
            return Ok(None);
        }
        let wrong = || {
            Error::invalid(
                "page_token",
                "it was not given out for this request: repeat the request that gave it unchanged, or start without one",
            )
        };
        if token.len() > MAX_TOKEN {
            return Err(wrong());
        }
        let sealed = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
        let mut cursor =
            decrypt(self.key.as_slice(), &place(scope), &sealed).map_err(|_| wrong())?;
        Ok(Some(std::mem::take(&mut *cursor)))
    }
}

/// The scope as associated data: each part with its length before it, so that no two scopes read the same.
fn place(scope: &PageScope<'_>) -> String {
    let request = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, scope.request);
    let request = URL_SAFE_NO_PAD.encode(request);
    let tenant = scope.tenant.map_or_else(|| "*".to_owned(), |t| format!("={t}"));
    format!("page {} {} {request} {tenant}", scope.method.len(), scope.method)
}
