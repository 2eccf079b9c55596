package sandbox

import (
	"bytes"
	"net/http"
	"strings"
)

// show answers a page. Pages carry no script and load nothing.
func (s *Server) show(w http.ResponseWriter, status int, name string, data any) {
	var page bytes.Buffer
	if err := s.pages.ExecuteTemplate(&page, name, data); err != nil {
		http.Error(w, "sandbox: "+err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", s.policy)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = page.WriteTo(w)
}

// showError tells the person, not the client, what is wrong. The text never has anything of the request in it.
func (s *Server) showError(w http.ResponseWriter, text string) {
	s.show(w, http.StatusBadRequest, "error", text)
}

func (s *Server) showSignIn(w http.ResponseWriter, page waiting, problem string) {
	status := http.StatusOK
	if problem != "" {
		status = http.StatusUnprocessableEntity
	}
	email := s.options.Person.Email
	if isEmail(page.hint) {
		email = page.hint
	}
	s.show(w, status, "sign-in", map[string]string{
		"Application": s.options.Application, "CSRF": s.await(page), "Email": email, "Problem": problem})
}

func (s *Server) showConsent(w http.ResponseWriter, page waiting) {
	words := map[string]string{
		"openid":           "Confirm who you are",
		"profile":          "See your name",
		"email":            "See your e-mail address",
		"public_metadata":  "See public details of your account",
		"private_metadata": "See private details of your account",
		"offline_access":   "Stay signed in until you sign out",
		"user:org:read":    "See your organisation",
	}
	var asked []string
	for _, scope := range page.scopes {
		asked = append(asked, words[scope])
	}
	target, userCode := strings.TrimSuffix(strings.TrimPrefix(page.redirectURI, "http://"), "/callback"), ""
	if page.device != nil {
		userCode = page.device.userCode
	}
	s.show(w, http.StatusOK, "consent", map[string]any{
		"Application": s.options.Application, "CSRF": s.await(page), "Person": page.person,
		"Initial": strings.ToUpper(string([]rune(page.person.Email)[:1])), "Scopes": asked, "Target": target,
		"UserCode": userCode})
}

const pageStyle = `
:root { color-scheme: light dark; --page: #f4f4f7; --card: #fff; --line: #e3e3ea; --text: #1b1b24; --soft: #5f5f70;
  --accent: #5b3fd6; --on-accent: #fff; --note: #efecfc; --bad: #b3261e;
  --control: #80808e; }
@media (prefers-color-scheme: dark) {
  :root { --page: #121218; --card: #1c1c25; --line: #32323f; --text: #f0f0f5; --soft: #a5a5b6;
    --accent: #a994ff; --on-accent: #17122e; --note: #292440; --bad: #ff9d95;
    --control: #7d7d92; }
}
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: flex; flex-direction: column; align-items: center; justify-content: center;
  gap: 1rem; padding: 1rem; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { width: 100%; max-width: 25rem; background: var(--card); border: 1px solid var(--line); border-radius: 1rem;
  padding: 2rem; box-shadow: 0 1px 2px #0000000d, 0 12px 32px #00000012; }
svg { display: block; margin: -.25rem auto .6rem; color: var(--accent); }
h1, .lead, .small, footer { text-wrap: balance; }
h1 { margin: 0 0 .35rem; font-size: 1.3rem; line-height: 1.3; font-weight: 650; text-align: center; letter-spacing: -.01em; }
p { margin: 0; }
.lead { color: var(--soft); text-align: center; margin-bottom: 1.25rem; }
label { display: block; font-size: .875rem; font-weight: 600; margin-bottom: .35rem; }
input { width: 100%; font: inherit; color: inherit; background: var(--page); border: 1px solid var(--control);
  border-radius: .6rem; padding: .6rem .8rem; }
button { font: inherit; font-weight: 600; border-radius: .6rem; padding: .6rem 1rem; border: 1px solid var(--control);
  background: transparent; color: inherit; cursor: pointer; }
button.main { background: var(--accent); border-color: var(--accent); color: var(--on-accent); }
button:hover { filter: brightness(1.06); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
form > button.main { width: 100%; margin-top: 1rem; }
.bad { color: var(--bad); font-size: .875rem; margin-top: .4rem; }
.account { display: flex; align-items: center; gap: .75rem; padding: .75rem; border: 1px solid var(--line);
  border-radius: .75rem; }
.account div { flex: 1; min-width: 0; line-height: 1.35; }
.account strong, .account span { display: block; overflow-wrap: anywhere; }
.account span { color: var(--soft); font-size: .875rem; }
.account i { flex: none; width: 2.4rem; height: 2.4rem; border-radius: 50%; background: var(--note); color: var(--accent);
  display: grid; place-items: center; font-style: normal; font-weight: 700; }
.account button { border: 0; padding: .3rem .4rem; font-size: .875rem; color: var(--accent); }
h2 { font-size: .875rem; margin: 1.25rem 0 .5rem; }
ul { list-style: none; margin: 0; padding: 0; }
li { padding: .2rem 0 .2rem 1.6rem; position: relative; }
li::before { content: "\2713"; position: absolute; left: .2rem; color: var(--accent); font-weight: 700; }
.choice { display: grid; grid-template-columns: 1fr 1fr; gap: .75rem; margin-top: 1.5rem; }
.small { color: var(--soft); font-size: .8125rem; text-align: center; margin-top: 1rem; }
.small b { font-weight: 600; color: var(--text); }
footer { color: var(--soft); font-size: .8125rem; text-align: center; max-width: 25rem; }
@media (max-width: 26rem) { main { padding: 1.5rem 1.25rem; } }
footer b { display: inline-block; background: var(--note); color: var(--accent); border-radius: 1rem; padding: .05rem .6rem;
  margin-right: .4rem; font-weight: 650; }
`

const pageTemplates = `
{{define "head"}}<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.}}</title>
<style>` + pageStyle + `</style>
</head>
<body>
<main>{{end}}

{{define "key"}}<svg width="44" height="44" viewBox="0 0 44 44" fill="none" stroke="currentColor" stroke-width="3"
 stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><circle cx="15" cy="29" r="8"/>
<path d="M21 23 36 8M29 15l6 6"/></svg>{{end}}

{{define "foot"}}</main>
<footer><b>Sandbox</b>A stand-in for Clerk, for tests. There are no passwords, and nothing leaves this computer.</footer>
</body>
</html>
{{end}}

{{define "sign-in"}}{{template "head" "Sign in"}}
{{template "key"}}
<h1>Sign in</h1>
<p class="lead">to continue to {{.Application}}</p>
<form method="post" action="/sign-in">
<input type="hidden" name="csrf" value="{{.CSRF}}">
<label for="email">E-mail address</label>
<input id="email" name="email" type="email" required maxlength="254" autocomplete="off" autofocus value="{{.Email}}">
{{with .Problem}}<p class="bad" role="alert">{{.}}</p>{{end}}
<button class="main">Continue</button>
</form>
<p class="small">Any address will do.</p>
{{template "foot"}}{{end}}

{{define "consent"}}{{template "head" "Allow access"}}
{{template "key"}}
<h1>{{.Application}} asks for access to your account</h1>
<p class="lead">Allow it only if you have just started this yourself.</p>
<form method="post" action="/oauth/consent">
<input type="hidden" name="csrf" value="{{.CSRF}}">
<div class="account"><i aria-hidden="true">{{.Initial}}</i>
<div><strong>{{.Person.Name}}</strong><span>{{.Person.Email}}</span></div>
<button name="decision" value="switch">Switch</button></div>
<h2>It will be able to</h2>
<ul>{{range .Scopes}}<li>{{.}}</li>{{end}}</ul>
<div class="choice">
<button name="decision" value="deny">Deny</button>
<button name="decision" value="allow" class="main">Allow</button>
</div>
</form>
{{if .UserCode}}<p class="small">Your terminal must show the code <b>{{.UserCode}}</b>.</p>
{{else}}<p class="small">You will go back to <b>{{.Target}}</b>, a program on this computer.</p>{{end}}
{{template "foot"}}{{end}}

{{define "device"}}{{template "head" "Connect a device"}}
{{template "key"}}
<h1>Connect a device</h1>
<p class="lead">Enter the code that your terminal shows.</p>
<form method="get" action="/device">
<label for="code">Code</label>
<input id="code" name="user_code" type="text" required maxlength="32" autocomplete="off" autocapitalize="characters" autofocus>
{{with .}}<p class="bad" role="alert">{{.}}</p>{{end}}
<button class="main">Continue</button>
</form>
{{template "foot"}}{{end}}

{{define "device-done"}}{{template "head" "Back to your terminal"}}
{{template "key"}}
<h1>{{.}}</h1>
<p class="lead">Go back to your terminal. You can close this page.</p>
{{template "foot"}}{{end}}

{{define "error"}}{{template "head" "This sign-in cannot go on"}}
{{template "key"}}
<h1>This sign-in cannot go on</h1>
<p class="lead">{{.}}</p>
<p class="small">You can close this page.</p>
{{template "foot"}}{{end}}
`
