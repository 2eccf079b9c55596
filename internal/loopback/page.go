package loopback

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

// Page has the names for the pages: of the profile that is signed in to, and of the machine that gets the session.
type Page struct {
	Profile, Hostname string
}

// pageKind is one of the pages; page.html has the text of each.
type pageKind string

const (
	signedInPage pageKind = "signed-in"
	deniedPage   pageKind = "denied"
	failedPage   pageKind = "failed"
	usedPage     pageKind = "used"
	takenPage    pageKind = "taken"
	slowPage     pageKind = "slow"
)

// pages renders what a person sees. No value in it comes from a request.
type pages struct {
	names    Page
	template *template.Template
	policy   string // the Content-Security-Policy
}

func newPages(names Page) (*pages, error) {
	parsed, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return nil, fmt.Errorf("parse page: %w", err)
	}
	hash := sha256.Sum256([]byte(pageCSS))
	style := base64.StdEncoding.EncodeToString(hash[:])
	return &pages{
		names:    names,
		template: parsed,
		policy: "default-src 'none'; style-src 'sha256-" + style + "'; " +
			"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	}, nil
}

// setHeaders keeps every answer out of caches, frames, referrers and the reach of other origins.
func (p *pages) setHeaders(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", p.policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
}

// write answers with a page. account is shown on the page for a success.
func (p *pages) write(w http.ResponseWriter, status int, kind pageKind, account string) {
	var body bytes.Buffer
	err := p.template.Execute(&body, struct {
		Page
		Kind    pageKind
		Account string
		Style   template.CSS
	}{p.names, kind, account, template.CSS(pageCSS)})
	if err != nil {
		refuse(w, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	// The page is whole as soon as it is flushed, though the process may end before the answer does.
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	w.Write(body.Bytes()) // an error means that the browser has gone away
}
