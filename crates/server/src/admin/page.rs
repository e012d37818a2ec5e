//! The one look of all pages.

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2733;--soft:#5b6b7b;--line:#dde4ea;--paper:#fbfcfd;--card:#fff;--accent:#0b6bcb}\
@media(prefers-color-scheme:dark){:root{--ink:#e4ebf2;--soft:#93a4b5;--line:#2b3744;--paper:#12181f;--card:#19212a;\
--accent:#6db3ff}}\
*{box-sizing:border-box}\
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.55 system-ui,-apple-system,'Segoe UI',sans-serif}\
header{border-bottom:1px solid var(--line);background:var(--card)}\
header div,main{max-width:72rem;margin:0 auto;padding:1rem 1.5rem}\
header div{font-weight:650;letter-spacing:.02em}\
h1{font-size:1.45rem;margin:.6rem 0 1.2rem}\
h2{font-size:.8rem;margin:0 0 .6rem;color:var(--soft);text-transform:uppercase;letter-spacing:.08em}\
main{display:grid;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr));gap:1rem;align-items:start}\
main>*{grid-column:1/-1;margin-top:0}\
main>section{grid-column:auto;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:1rem 1.2rem}\
ul{list-style:none;margin:0;padding:0}\
li{padding:.2rem 0}\
a{color:var(--accent);text-decoration:none}\
a:hover{text-decoration:underline}\
table{border-collapse:collapse;width:100%;background:var(--card);border:1px solid var(--line)}\
th,td{text-align:left;padding:.45rem .8rem;border-bottom:1px solid var(--line);vertical-align:top}\
th{color:var(--soft);font-weight:600;font-size:.85rem}\
td{font-variant-numeric:tabular-nums}\
code,pre{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:.9em}\
main>section.wide{grid-column:1/-1}\
pre{margin:.3rem 0 1rem;padding:.7rem .9rem;background:var(--paper);border:1px solid var(--line);border-radius:6px;\
overflow-x:auto;user-select:all}\
section p{margin:.2rem 0}\
.state{margin-bottom:0}\
.state span{display:inline-block;margin:0 .35rem .35rem 0;padding:.1rem .6rem;border:1px solid var(--line);\
border-radius:1rem;background:var(--card);font-size:.9em}\
.state .good{border-color:#2e9e5b}\
.state .waiting{border-color:#d98a1f}";

/// A whole HTML document around `body`, which is HTML already. Sections lie side by side as cards, all else has the
/// full width.
pub fn page(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><title>{title}</title><style>{STYLE}</style></head><body>\
         <header><div>norn</div></header><main><h1>{title}</h1>{body}</main></body></html>\n"
    )
}

/// A table of text; cells are escaped here.
pub fn table(columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut html = String::from("<table><thead><tr>");
    for column in columns {
        html.push_str(&format!("<th>{}</th>", escape(column)));
    }
    html.push_str("</tr></thead><tbody>");
    for row in rows {
        html.push_str("<tr>");
        for cell in row {
            html.push_str(&format!("<td>{}</td>", escape(&cell)));
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table>");
    html
}

/// Text as HTML, in elements and in quoted attributes.
pub fn escape(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}
