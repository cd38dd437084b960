//! The way in.

use maud::{Markup, PreEscaped, html};

use super::layout::page;

/// Asks for a token, and says why the last one was not taken.
pub fn token(why: &str, back: &str) -> Markup {
    page(
        "Sign in",
        None,
        &html! {
            section class="narrow card" {
                h1 { "Sign in with a token" }
                @if !why.is_empty() { p class="notice bad" role="alert" { (super::plain(why)) } }
                p { "You see and do here what the token's roles allow, and nothing else. It is kept in a cookie of this browser, which \
                     no script can read; the server keeps it nowhere." }
                form method="post" action="/login" {
                    input type="hidden" name="back" value=(back);
                    label for="token" { "Token" }
                    input id="token" name="token" type="password" autocomplete="off" required autofocus;
                    button class="go" { "Sign in" }
                }
                p class="dim" { "For a ServiceAccount: " code { "kubectl create token NAME -n NAMESPACE" } }
            }
        },
    )
}

/// Says why nobody is let in.
pub fn closed(why: &str) -> Markup {
    page(
        "Closed",
        None,
        &html! {
            section class="narrow card" { h1 { "Not open to this browser" } p { (why) } }
        },
    )
}

/// Says why it is not known who this is. The page that was asked for comes when it is.
pub fn not_now(why: &str) -> Markup {
    page(
        "Not yet",
        None,
        &html! {
            section class="narrow card" data-again {
                h1 { "Nothing can be shown yet" }
                p class="notice bad" role="alert" { (super::plain(why)) }
                p class="dim" { "The page that you asked for comes by itself." }
            }
        },
    )
}

/// Asks the browser to ask again by itself: a link from elsewhere comes without our cookie.
pub fn again() -> Markup {
    html! { (PreEscaped("<!doctype html>")) html lang="en" { head { meta http-equiv="refresh" content="0"; title { "Greenlight" } } } }
}
