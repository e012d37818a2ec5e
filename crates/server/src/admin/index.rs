//! The index page: what runs, where to look, how to begin.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;
use http::{HeaderMap, Uri, header};

use super::page::{escape, page};
use super::{Admin, Guide, Link};
use crate::services::State as ServiceState;

pub(super) async fn index(State(admin): State<Arc<Admin>>, uri: Uri, headers: HeaderMap) -> Html<String> {
    let prefix = match admin.path_prefix.trim_matches('/') {
        "" => String::new(),
        prefix => format!("/{prefix}"),
    };
    let mut body = states(&admin);
    for section in sections(admin.links.iter().map(|link| link.section)) {
        links(&mut body, section, admin.links.iter().filter(|link| link.section == section), &prefix);
    }
    let base = format!("{}{prefix}", address(&uri, &headers));
    for section in sections(admin.guides.iter().map(|guide| guide.section)) {
        guides(&mut body, section, admin.guides.iter().filter(|guide| guide.section == section), &base);
    }
    Html(page(&admin.title, &body))
}

/// The headings in the order in which they are met first.
fn sections<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut sections = Vec::new();
    for section in all {
        if !sections.contains(&section) {
            sections.push(section);
        }
    }
    sections
}

fn states(admin: &Admin) -> String {
    let chip = |class: &str, text: &str| format!("<span class=\"{class}\">{}</span>", escape(text));
    let mut html = String::from("<p class=\"state\">");
    html.push_str(&match admin.services.readiness() {
        Ok(()) => chip("good", "ready"),
        Err(_) => chip("waiting", "not ready"),
    });
    for (name, state) in admin.services.states() {
        match state {
            ServiceState::Running => html.push_str(&chip("", name)),
            other => html.push_str(&chip("waiting", &format!("{name}: {}", other.name()))),
        }
    }
    html.push_str("</p>");
    html
}

fn links<'a>(html: &mut String, section: &str, links: impl Iterator<Item = &'a Link>, prefix: &str) {
    html.push_str(&format!("<section><h2>{}</h2><ul>", escape(section)));
    for link in links {
        let target = format!("{prefix}{}", link.path);
        html.push_str(&format!("<li><a href=\"{}\">{}</a></li>", escape(&target), escape(link.text)));
    }
    html.push_str("</ul></section>");
}

fn guides<'a>(html: &mut String, section: &str, guides: impl Iterator<Item = &'a Guide>, base: &str) {
    html.push_str(&format!("<section class=\"wide\"><h2>{}</h2>", escape(section)));
    for guide in guides {
        let snippet = guide.snippet.replace("{base}", base);
        html.push_str(&format!("<p>{}</p><pre>{}</pre>", escape(guide.text), escape(&snippet)));
    }
    html.push_str("</section>");
}

/// Under which address the client has found this process; a proxy may have said that it speaks TLS.
fn address(uri: &Uri, headers: &HeaderMap) -> String {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = match text(header::HeaderName::from_static("x-forwarded-proto")) {
        Some("https") => "https",
        _ => "http",
    };
    // HTTP/2 has the host in the URI.
    let host = text(header::HOST).or_else(|| uri.authority().map(http::uri::Authority::as_str));
    format!("{scheme}://{}", host.unwrap_or("localhost"))
}
