//! What a node asks of `[auth.session]` as a whole before it starts.

use super::demands::secret_line;
use super::source::Said;
use super::{AuthJs, Config, Introspect, SessionJwt, SessionMethod};

/// Takes a setting, what is wrong with it, and the line to write instead.
type Complain<'a> = dyn FnMut(&str, String, Option<String>) + 'a;

/// Tells everything about sessions that keeps a node from starting.
pub(super) fn unmet(config: &Config, said: &Said, complain: &mut Complain<'_>) {
    let session = &config.auth.session;
    let mut methods = session.methods();
    if let (Some(_), Some(second)) = (methods.next(), methods.next()) {
        let switch = switch(second);
        let what = "turns on a second method for sessions; keep one".to_owned();
        complain(switch, what, Some(format!("take {switch} out, or that of the other method")));
    }
    introspect(&session.introspect, said, complain);
    jwt(&session.jwt, config.dev, said, complain);
    authjs(&session.authjs, config.dev, said, complain);
}

/// The setting that turns a method on.
fn switch(method: SessionMethod) -> &'static str {
    match method {
        SessionMethod::Introspect => "auth.session.introspect.url",
        SessionMethod::Jwt => "auth.session.jwt.cookie",
        SessionMethod::AuthJs => "auth.session.authjs.secrets",
    }
}

fn introspect(introspect: &Introspect, said: &Said, complain: &mut Complain<'_>) {
    let refused =
        ["url", "cookies", "headers"].map(|name| format!("auth.session.introspect.{name}"));
    if refused.iter().any(|path| said.was_refused(path)) {
        return;
    }
    let hands_on = !introspect.cookies.is_empty() || !introspect.headers.is_empty();
    if introspect.url.is_some() && !hands_on {
        let what = "is empty, and so is headers: the application could not tell who asks";
        let line = Some("cookies = [\"…\"], the name of its session cookie".to_owned());
        complain("auth.session.introspect.cookies", what.to_owned(), line);
    }
    if introspect.url.is_none() && hands_on {
        let what = "is missing: there is nobody to hand cookies or headers on to".to_owned();
        complain("auth.session.introspect.url", what, Some("url = \"https://…\"".to_owned()));
    }
}

fn jwt(jwt: &SessionJwt, dev: bool, said: &Said, complain: &mut Complain<'_>) {
    let has_key = jwt.secret.is_some() || jwt.public_key_file.is_some();
    let was_refused = said.was_refused("auth.session.jwt.secret")
        || said.was_refused("auth.session.jwt.public_key_file");
    match &jwt.cookie {
        Some(_) if !has_key && !was_refused => {
            let path = "auth.session.jwt.secret";
            let what = "is missing, and so is public_key_file: no cookie could be checked";
            complain(path, what.to_owned(), Some(secret_line(path, &said.place(path))));
        }
        None if has_key && !said.was_refused("auth.session.jwt.cookie") => {
            let what = "is missing: which cookie is to be read?".to_owned();
            complain("auth.session.jwt.cookie", what, Some("cookie = \"session\"".to_owned()));
        }
        Some(_) | None => {}
    }
    if jwt.secret.is_some() && jwt.public_key_file.is_some() {
        let what = "is given beside auth.session.jwt.secret; keep one".to_owned();
        complain("auth.session.jwt.public_key_file", what, None);
    }
    if let Some(secret) = &jwt.secret
        && !dev
        && let Some(weakness) = secret.signing_weakness()
    {
        let path = "auth.session.jwt.secret";
        complain(path, weakness.into_owned(), Some(secret_line(path, &said.place(path))));
    }
}

fn authjs(authjs: &AuthJs, dev: bool, said: &Said, complain: &mut Complain<'_>) {
    for (index, secret) in authjs.secrets.iter().enumerate() {
        if let Some(weakness) = secret.signing_weakness()
            && !dev
        {
            let path = "auth.session.authjs.secrets";
            let line = secret_line(path, &said.place(path));
            complain(&format!("{path}[{index}]"), weakness.into_owned(), Some(line));
        }
    }
}
