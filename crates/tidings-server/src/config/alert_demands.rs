//! What a node asks of `[alerts]` as a whole before it starts.

use super::source::Said;
use super::{AlertMail, Config, Secret};

/// Takes a setting, what is wrong with it, and the line to write instead.
type Complain<'a> = dyn FnMut(&str, String, Option<String>) + 'a;

/// Tells everything about alerts that keeps a node from starting.
pub(super) fn unmet(config: &Config, said: &Said, complain: &mut Complain<'_>) {
    let alerts = &config.alerts;
    if alerts.node.chars().any(char::is_control) {
        complain("alerts.node", "has a control character in it".to_owned(), None);
    }
    for (index, webhook) in alerts.webhooks.iter().enumerate() {
        let weakness = webhook.secret.as_ref().and_then(Secret::signing_weakness);
        if let (false, Some(weakness)) = (config.dev, weakness) {
            let line = "secret = \"…\" with what this prints: echo \"$(openssl rand -base64 32)\"";
            let what = format!("has a secret that {weakness}");
            complain(&format!("alerts.webhooks[{index}]"), what, Some(line.to_owned()));
        }
    }
    mail(&alerts.mail, said, complain);
}

fn mail(mail: &AlertMail, said: &Said, complain: &mut Complain<'_>) {
    let refused = ["smtp_url", "from", "to", "username", "password"]
        .map(|name| format!("alerts.mail.{name}"));
    if refused.iter().any(|path| said.was_refused(path)) {
        return;
    }
    let is_on = mail.smtp_url.is_some();
    let given = [
        ("alerts.mail.from", mail.from.is_some()),
        ("alerts.mail.to", !mail.to.is_empty()),
        ("alerts.mail.username", mail.username.is_some()),
        ("alerts.mail.password", mail.password.is_some()),
    ];
    if let (false, Some((path, _))) = (is_on, given.iter().find(|(_, is_given)| *is_given)) {
        let line = Some("smtp_url = \"smtps://…\"".to_owned());
        complain("alerts.mail.smtp_url", format!("is missing beside {path}"), line);
        return;
    }
    if is_on && mail.from.is_none() {
        let line = Some("from = \"tidings@…\"".to_owned());
        complain("alerts.mail.from", "is missing: mail must be from somebody".to_owned(), line);
    }
    if is_on && mail.to.is_empty() {
        let line = Some("to = [\"…\"]".to_owned());
        complain("alerts.mail.to", "is empty: nobody would get the mail".to_owned(), line);
    }
    match (&mail.username, &mail.password) {
        (Some(_), None) => {
            let line = Some("export TIDINGS_ALERTS__MAIL__PASSWORD=…".to_owned());
            complain("alerts.mail.password", "is missing beside a username".to_owned(), line);
        }
        (None, Some(_)) => {
            let line = Some("username = \"…\"".to_owned());
            complain("alerts.mail.username", "is missing beside a password".to_owned(), line);
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
}
