//! Alerts by mail, through the operator's own mail server: encrypted, unless it is on this machine.

use std::error::Error as _;
use std::time::Duration;

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use tokio::time::timeout;

use super::notice::Notice;
use super::target::SendError;
use crate::config::{AlertMail, MailAddress, SmtpSecurity, SmtpUrl};

/// How long a mail may take, from the connection to the server's last word.
const SEND_TIMEOUT: Duration = Duration::from_secs(15);
/// Characters that are shown of what a server answers.
const ANSWER_CHARS_MAX: usize = 200;

pub(super) struct Mail {
    host: String,
    from: MailAddress,
    to: Vec<MailAddress>,
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

impl Mail {
    /// By these settings, if they turn it on.
    pub(super) fn new(settings: &AlertMail) -> Result<Option<Self>, SmtpError> {
        let (Some(url), Some(from)) = (&settings.smtp_url, &settings.from) else {
            return Ok(None);
        };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(url.host())
            .port(url.port())
            .timeout(Some(SEND_TIMEOUT))
            .tls(tls(url)?);
        if let (Some(username), Some(password)) = (&settings.username, &settings.password) {
            let password = password.expose().to_owned();
            transport = transport.credentials(Credentials::new(username.clone(), password));
        }
        Ok(Some(Self {
            host: url.host().to_owned(),
            from: from.clone(),
            to: settings.to.clone(),
            transport: transport.build(),
        }))
    }

    /// Where the mail server is.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Hands it to the mail server once.
    pub(super) async fn send(&self, notice: &Notice) -> Result<(), SendError> {
        let message = self.message(notice)?;
        match timeout(SEND_TIMEOUT, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(judge(&error)),
            Err(_) => Err(SendError { what: "no answer in time".to_owned(), may_pass: true }),
        }
    }

    fn message(&self, notice: &Notice) -> Result<Message, SendError> {
        let from = self.from.mailbox();
        // The same for each attempt, so that one that arrives twice is one.
        let id = format!("<{}@{}>", notice.id, from.email.domain());
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        let mut message = Message::builder()
            .from(from.clone())
            .subject(notice.text())
            .message_id(Some(id))
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
            .header(ContentType::TEXT_PLAIN);
        for address in &self.to {
            message = message.to(address.mailbox().clone());
        }
        let message = message.body(notice.lines());
        message.map_err(|error| SendError { what: error.to_string(), may_pass: false })
    }
}

fn tls(url: &SmtpUrl) -> Result<Tls, SmtpError> {
    let parameters = || TlsParameters::new_rustls(url.host().to_owned());
    Ok(match url.security() {
        SmtpSecurity::Tls => Tls::Wrapper(parameters()?),
        SmtpSecurity::StartTls => Tls::Required(parameters()?),
        SmtpSecurity::Clear => Tls::None,
    })
}

/// What went wrong. What the server says about credentials is left out: it may repeat them.
fn judge(error: &SmtpError) -> SendError {
    let may_pass = !error.is_permanent() && !error.is_client();
    let code = error.status().map(u16::from);
    let cause = match code {
        Some(530 | 534 | 535 | 538 | 454 | 432) => String::new(),
        _ => error.source().map(|source| format!(": {source}")).unwrap_or_default(),
    };
    let what = match code {
        Some(code) => format!("it answered {code}"),
        None if error.is_timeout() => "no answer in time".to_owned(),
        None if error.is_tls() => "no encrypted connection".to_owned(),
        None => "cannot connect, or the connection broke".to_owned(),
    };
    let what = format!("{what}{cause}").escape_debug().take(ANSWER_CHARS_MAX).collect();
    SendError { what, may_pass }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_in_the_clear_to_another_machine() {
        let tls_to = |text: &str| tls(&SmtpUrl::try_from(text.to_owned()).unwrap()).unwrap();
        assert!(matches!(tls_to("smtps://smtp.example.com"), Tls::Wrapper(_)));
        assert!(matches!(tls_to("smtp://smtp.example.com"), Tls::Required(_)));
        assert!(matches!(tls_to("smtp://smtp.example.com:25"), Tls::Required(_)));
        assert!(matches!(tls_to("smtps://127.0.0.1"), Tls::Wrapper(_)));
        assert!(matches!(tls_to("smtp://127.0.0.1"), Tls::None));
    }
}
