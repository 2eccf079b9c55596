// Package loopback is the one-shot listener on 127.0.0.1 that a browser comes back to at the end of a sign-in.
//
// A state and an authorize URL go in; the parameters of the one genuine callback come out, and the browser is left on
// a page that says how the sign-in ended (RFC 8252 §7.3, RFC 9700 §2.1). The package knows no provider and makes no
// request of its own. It never lets a wrong request end the wait, never shows text that came from outside, and never
// says "signed in" before its caller does.
package loopback

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

const (
	// listenTries is how often the OS is asked for a port: Windows can pick one inside an excluded range and then
	// refuse it.
	listenTries = 5

	// maxConns and requestTime together keep junk from locking the user out: a connection that brings no whole request
	// is closed after requestTime, so at least maxConns slots become free in that time.
	maxConns    = 512
	requestTime = 2 * time.Second

	// maxHeaderBytes leaves room for the cookies of other programs on 127.0.0.1, which browsers send to every port.
	maxHeaderBytes = 64 << 10
	// maxQueryBytes is more than any authorization response needs.
	maxQueryBytes = 8 << 10

	// maxDoneWaiters bounds how many requests may wait on /done at once: the person's, and a reload or two.
	maxDoneWaiters = 8
	// doneTime is how long /done waits for Finish before it refers the person to the terminal.
	doneTime = 40 * time.Second
	// finishTime is how long Finish waits for the browser to fetch /done. A browser that is on its way, on a busy
	// machine, would find the port closed and show an error; one that does not come is rare.
	finishTime = 5 * time.Second
	// cookieTime is longer than a person has for a sign-in.
	cookieTime = time.Hour
)

// Callback is the authorization response (RFC 6749 §4.1.2, RFC 9207): one of Code and Error, or after BeginToken the
// Token. All values are foreign text of at most 8 KiB together.
type Callback struct {
	Code             string
	Issuer           string // the iss parameter; empty if there was none
	Error            string
	ErrorDescription string

	Token    string
	Unproven bool // the Token came without the state: any page of the web may have sent it
}

// Ending is how a sign-in ended.
type Ending int

const (
	Failed   Ending = iota // the answer could not be verified or kept
	Denied                 // the person, or the issuer on their behalf, refused
	SignedIn               // verified and kept
)

// Result is what the person is told at the end.
type Result struct {
	Ending  Ending
	Account string // whose account it is, usually an e-mail address; shown if SignedIn
}

// Listener waits for one callback. Its methods may be called from several goroutines.
type Listener struct {
	host   string // 127.0.0.1:PORT, the only Host that is answered
	server *http.Server
	pages  *pages
	peer   func(server, client netip.AddrPort) (own, certain bool)

	callback chan Callback // holds the one genuine callback
	broken   chan error    // holds why the server ended, if it did
	decided  chan struct{} // closed by Finish
	visited  chan struct{} // closed when the start link has been used
	insisted chan struct{} // closed when a browser of the user's has asked over TLS
	served   chan struct{} // closed when /done has been answered with the result
	waiters  chan struct{} // one element for each request that waits on /done
	taken    chan struct{} // closed when a second visitor has come, and been told
	endOnce  sync.Once     // for taken
	tlsOnce  sync.Once     // for insisted

	mu        sync.Mutex
	start     string                  // the random part of the start path; empty before Begin
	visitor   string                  // the cookie of the browser that has used it; empty before, and set once
	authorize string                  // where /start leads
	state     string                  // what the callback must bring; empty before Begin
	good      func(token string) bool // not nil: the callback brings a token, perhaps without the state
	arrived   bool                    // whether the genuine callback has come
	pasted    bool                    // and that from Paste: no browser waits for a page
	result    Result                  // set before decided is closed
	finished  bool
	fetched   bool
	ended     bool // a second visitor has come: no callback is genuine any more
}

// ErrTaken ends a sign-in whose start link was opened by two browsers or programs, where the system does not say whose
// they are: the first may be another user's, who has read the link and would sign in in the person's place.
var ErrTaken = errors.New("the sign-in link was opened twice, by two browsers or programs: another user of this machine may have used it")

// Listen opens a port of the OS's choice on 127.0.0.1 and answers requests on it until Close. The names in page are
// shown to the person. ctx limits only the opening of the port.
//
// peer, if not nil, reports whether a connection to server from client is the user's own, and whether that is certain. A
// connection that is not cannot use the start link, nor use it up. Where it is not certain, a second visitor ends the
// sign-in with ErrTaken; nil is as if all connections were certainly the user's.
func Listen(ctx context.Context, page Page, peer func(server, client netip.AddrPort) (own, certain bool)) (*Listener, error) {
	pages, err := newPages(page)
	if err != nil {
		return nil, err
	}
	var config net.ListenConfig
	var listener net.Listener
	for range listenTries {
		if listener, err = config.Listen(ctx, "tcp4", "127.0.0.1:0"); err == nil {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("listen on 127.0.0.1: %w", err)
	}
	l := &Listener{
		host:     listener.Addr().String(),
		pages:    pages,
		peer:     peer,
		callback: make(chan Callback, 1),
		broken:   make(chan error, 1),
		decided:  make(chan struct{}),
		visited:  make(chan struct{}),
		insisted: make(chan struct{}),
		served:   make(chan struct{}),
		waiters:  make(chan struct{}, maxDoneWaiters),
		taken:    make(chan struct{}),
	}
	l.server = &http.Server{
		Handler:                      http.HandlerFunc(l.serve),
		ReadHeaderTimeout:            requestTime,
		ReadTimeout:                  requestTime,
		WriteTimeout:                 requestTime,
		IdleTimeout:                  requestTime,
		MaxHeaderBytes:               maxHeaderBytes,
		DisableGeneralOptionsHandler: true,
		// The standard logger writes to stderr, and a log line may quote a request.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	go func() {
		l.broken <- l.server.Serve(netutil.LimitListener(firstBytes{listener, l.hello}, maxConns))
	}()
	return l, nil
}

// RedirectURI is the address to which the issuer sends the browser: http://127.0.0.1:PORT/callback. The issuer has it
// registered without the port (RFC 8252 §7.3).
func (l *Listener) RedirectURI() string {
	return "http://" + l.host + "/callback"
}

// Begin sets the state that the callback must bring, and returns a URL on this listener that leads to authorizeURL. It
// is good for one browser, which may load it again, and can be given to a browser's command line, where other users of
// the machine could read state and challenge. A prefetch does not use it up. Begin can be called once; state must not be
// empty.
func (l *Listener) Begin(state, authorizeURL string) (startURL string, err error) {
	random := make([]byte, 32)
	rand.Read(random)

	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != "" || state == "" {
		return "", errors.New("a sign-in begins once, with a state")
	}
	l.state = state
	l.authorize = authorizeURL
	l.start = base64.RawURLEncoding.EncodeToString(random)
	return "http://" + l.host + "/start/" + l.start, nil
}

// BeginToken is Begin for a page that sends a token back, and may not know of the state. A callback with another state
// is refused; one without any is accepted if good reports that its token could be the page's, and is marked as
// Unproven. good must be quick: the listener waits for it.
func (l *Listener) BeginToken(state, pageURL string, good func(token string) bool) (startURL string, err error) {
	startURL, err = l.Begin(state, pageURL)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.good = good
	}
	return startURL, err
}

// Visited is closed when the user's browser has fetched the start link: it runs, and shows a page.
func (l *Listener) Visited() <-chan struct{} { return l.visited }

// OverTLS is closed when a browser of the user's has asked over https, which is not spoken here: it is set to use nothing
// else, and shows an error in place of the page. The sign-in goes on.
func (l *Listener) OverTLS() <-chan struct{} { return l.insisted }

// Err is ErrTaken if a second visitor has come, which can be after the callback.
func (l *Listener) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return ErrTaken
	}
	return nil
}

// Wait returns the genuine callback, the cause of ctx's end, or ErrTaken.
func (l *Listener) Wait(ctx context.Context) (Callback, error) {
	callbacks := l.callback
	if l.Err() != nil {
		callbacks = nil // what is left is to send the page
	}
	select {
	case callback := <-callbacks:
		return callback, nil
	default:
	}
	select {
	case callback := <-callbacks:
		return callback, nil
	case <-l.taken:
		return Callback{}, ErrTaken
	case err := <-l.broken:
		return Callback{}, fmt.Errorf("listener on 127.0.0.1: %w", err)
	case <-ctx.Done():
		return Callback{}, context.Cause(ctx)
	}
}

// Finish ends the sign-in with a result, which the browser shows; only the first call counts. It returns when the browser
// has fetched /done, after 5 s, or when ctx ends, whichever is first; at once if there was no callback, or a pasted one.
func (l *Listener) Finish(ctx context.Context, result Result) {
	l.mu.Lock()
	if !l.finished {
		l.finished = true
		l.result = result
		close(l.decided)
	}
	browser := l.arrived && !l.pasted
	l.mu.Unlock()
	if !browser {
		return
	}
	limit := time.NewTimer(finishTime)
	defer limit.Stop()
	select {
	case <-l.served:
	case <-limit.C:
	case <-ctx.Done():
	}
}

// Close closes the port and all connections.
func (l *Listener) Close() error {
	return l.server.Close()
}

func (l *Listener) serve(w http.ResponseWriter, r *http.Request) {
	l.pages.setHeaders(w.Header())
	// Only a page that knows the port by its number may talk to us: a foreign name that was made to resolve to
	// 127.0.0.1 (DNS rebinding) arrives with its own Host.
	if r.Host != l.host {
		refuse(w, http.StatusBadRequest)
		return
	}
	start, isStart := strings.CutPrefix(r.URL.Path, "/start/")
	if !isStart && r.URL.Path != "/callback" && r.URL.Path != "/done" {
		refuse(w, http.StatusNotFound)
		return
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		refuse(w, http.StatusMethodNotAllowed)
		return
	}
	switch {
	case isStart:
		l.serveStart(w, r, start)
	case prefetches(r): // a callback, and the page that says how it ended, are there once
		refuse(w, http.StatusServiceUnavailable)
	case r.URL.Path == "/callback":
		l.serveCallback(w, r.URL.RawQuery)
	default:
		l.serveDone(w, r)
	}
}

// startCookie names the browser that has used the start link.
const startCookie = "clerk-credential-helper-start"

// serveStart leads the person's browser to the sign-in. Whose a request is comes before all that it could use up: another
// user who has read the link in an argument list must neither learn state and challenge from it, nor keep the person from
// it, however soon they close the connection.
func (l *Listener) serveStart(w http.ResponseWriter, r *http.Request, start string) {
	l.mu.Lock()
	genuine := l.start != "" && same(start, l.start)
	l.mu.Unlock()
	if !genuine {
		refuse(w, http.StatusNotFound)
		return
	}
	own, certain := l.owner(r.RemoteAddr)
	switch {
	case !own:
		refuseSaying(w, http.StatusNotFound,
			"This link is for another user of this machine. If it is yours, open the address that the terminal shows.")
		return
	case prefetches(r):
		refuse(w, http.StatusServiceUnavailable) // the browser asks again when the person wants the page
		return
	}

	cookie := ""
	if c, err := r.Cookie(startCookie); err == nil {
		cookie = c.Value
	}
	switch l.visit(cookie, certain) {
	case firstVisit:
		// The path keeps it from other programs on 127.0.0.1: cookies know no ports.
		http.SetCookie(w, &http.Cookie{Name: startCookie, Value: l.visitor, Path: r.URL.Path,
			MaxAge: int(cookieTime / time.Second), HttpOnly: true, SameSite: http.SameSiteLaxMode})
		close(l.visited)
		fallthrough
	case sameBrowser:
		redirect(w, l.authorize)
	case otherVisit:
		l.pages.write(w, http.StatusGone, usedPage, "")
	case takenVisit:
		l.pages.write(w, http.StatusGone, takenPage, "")
		// Wait, and with it the process, may end as soon as the page is sent.
		http.NewResponseController(w).Flush()
		l.endOnce.Do(func() { close(l.taken) })
	}
}

// visit is one use of the start link.
type visit int

const (
	firstVisit  visit = iota
	sameBrowser       // by the browser that has used it before: a reload, or a page that is restored
	otherVisit        // by another program of the person's
	takenVisit        // by another than the first, and one of the two may be another user's
)

func (l *Listener) visit(cookie string, certain bool) visit {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.ended:
		return takenVisit
	case l.visitor == "":
		l.visitor = rand.Text()
		return firstVisit
	case same(cookie, l.visitor):
		return sameBrowser
	case certain:
		return otherVisit
	}
	l.ended = true
	return takenVisit
}

// owner reports whether a connection from remote is the user's own, and whether that is certain.
func (l *Listener) owner(remote string) (own, certain bool) {
	if l.peer == nil {
		return true, true
	}
	server, err := netip.ParseAddrPort(l.host)
	if err != nil {
		return false, true
	}
	client, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false, true
	}
	return l.peer(server, client)
}

// prefetches reports whether a browser asks before the person does: Sec-Purpose (Fetch Standard), and what came before it
// in Chromium, Safari and Firefox.
func prefetches(r *http.Request) bool {
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		value := strings.ToLower(r.Header.Get(name))
		if strings.Contains(value, "prefetch") || strings.Contains(value, "prerender") || strings.Contains(value, "preview") {
			return true
		}
	}
	return false
}

func (l *Listener) serveCallback(w http.ResponseWriter, rawQuery string) {
	callback, err := l.accept(rawQuery)
	switch {
	case errors.Is(err, errArrived): // a page that sends twice still shows how the sign-in ends
	case errors.Is(err, ErrTaken):
		l.pages.write(w, http.StatusGone, takenPage, "")
		return
	case err != nil:
		refuse(w, http.StatusBadRequest)
		return
	default:
		l.callback <- callback // has room: accept succeeds once
	}
	// This removes the code from the address bar, the history's newest entry and any screenshot (RFC 9700 §4.2.4).
	redirect(w, "/done")
}

// hello notes that a browser has begun to speak TLS, if it is the user's own.
func (l *Listener) hello(remote string) {
	select {
	case <-l.insisted:
		return
	default:
	}
	if own, _ := l.owner(remote); own {
		l.tlsOnce.Do(func() { close(l.insisted) })
	}
}

// handshake is the first byte of a connection on which a client speaks TLS (RFC 8446 §5.1, ContentType).
const handshake = 0x16

// firstBytes is a listener that calls hello with the remote address of each connection that begins with handshake.
type firstBytes struct {
	net.Listener
	hello func(remote string)
}

// Accept implements net.Listener.
func (l firstBytes) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &firstByte{Conn: conn, hello: l.hello}, nil
}

// firstByte is a connection of firstBytes. net/http reads it in one goroutine at a time.
type firstByte struct {
	net.Conn
	hello func(remote string)
	seen  bool
}

// Read implements net.Conn.
func (c *firstByte) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.seen {
		c.seen = true
		if p[0] == handshake {
			c.hello(c.RemoteAddr().String())
		}
	}
	return n, err
}

// Paste takes the address that a browser on another machine ended on, as a person has copied it: RedirectURI with a
// query, also with https, which some browsers make of it; without the scheme; or the query alone. There may be blanks,
// quotes or brackets around it, the line ends of a terminal in it, and other lines behind it. It must pass the same checks
// as a request, and the first genuine one of either kind is the callback. The error says briefly, and without any of the
// text, what is wrong with it.
func (l *Listener) Paste(text string) error {
	text = strings.Trim(text, around)
	if len(text) > len(l.RedirectURI())+1+2*maxQueryBytes {
		return errTooLong
	}
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\r' || r == '\n' })
	for i, line := range lines {
		lines[i] = strings.Trim(line, " \t")
	}
	// A line end cuts an address anywhere, so the first line alone may be a callback with half a code: it comes second.
	err := l.paste(strings.Trim(strings.Join(lines, ""), around))
	if err != nil && len(lines) > 1 && l.paste(strings.Trim(lines[0], around)) == nil {
		return nil
	}
	return err
}

// around is what people copy with an address, on either side of it.
const around = " \t\r\n\u00a0\u200b\ufeff\"'`<>()[]\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb\u2039\u203a"

func (l *Listener) paste(text string) error {
	if len(text) > len(l.RedirectURI())+1+maxQueryBytes {
		return errTooLong
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("that has characters in it that no address has")
	}
	u, err := url.Parse(l.completed(text))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Path != "/callback" || u.RawQuery == "" ||
		!strings.HasPrefix(u.Host, "127.0.0.1:") {
		return fmt.Errorf("that is not the address of the last page, which begins with %s", l.RedirectURI())
	}
	if u.Host != l.host {
		return errAnotherSignIn
	}
	callback, err := l.accept(u.RawQuery)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.pasted = true
	l.mu.Unlock()
	l.callback <- callback // has room: accept succeeds once
	return nil
}

// completed is a pasted address with what may be missing before it: the scheme, or all that comes before the query.
func (l *Listener) completed(text string) string {
	switch query, ok := strings.CutPrefix(text, "?"); {
	case ok:
		return l.RedirectURI() + "?" + query
	case strings.HasPrefix(text, "127.0.0.1:"):
		return "http://" + text
	case strings.HasPrefix(text, "/callback?"):
		return "http://" + l.host + text
	}
	if end := strings.IndexAny(text, "=/?:"); end > 0 && text[end] == '=' {
		return l.RedirectURI() + "?" + text
	}
	return text
}

// Why a callback was refused, for a user who has pasted it. A request gets only a status.
var (
	errAnotherSignIn = errors.New("that is the address of another sign-in")
	errIncomplete    = errors.New("that address is not complete")
	errTooLong       = errors.New("that is too long for an address of a sign-in")
	errArrived       = errors.New("this sign-in already has its answer")
)

// accept takes the query of the genuine callback, once: a second one is errArrived.
func (l *Listener) accept(rawQuery string) (Callback, error) {
	if len(rawQuery) > maxQueryBytes {
		return Callback{}, errIncomplete
	}
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return Callback{}, errIncomplete
	}
	state := query["state"]
	l.mu.Lock()
	defer l.mu.Unlock()
	// The state comes before everything else: without it any web page could end the sign-in with ?error=.
	unproven := l.good != nil && len(state) == 0
	if l.state == "" || len(state) != 1 && !unproven {
		return Callback{}, errIncomplete
	}
	if !unproven && !same(state[0], l.state) {
		return Callback{}, errAnotherSignIn
	}
	// RFC 6749 §3.1: parameters must not be included more than once.
	for _, values := range query {
		if len(values) != 1 {
			return Callback{}, errIncomplete
		}
	}
	callback := Callback{
		Code:             query.Get("code"),
		Issuer:           query.Get("iss"),
		Error:            query.Get("error"),
		ErrorDescription: query.Get("error_description"),
	}
	if l.good != nil {
		callback = Callback{Token: query.Get("token"), Unproven: unproven}
		if callback.Token == "" || unproven && !l.good(callback.Token) {
			return Callback{}, errIncomplete
		}
	} else if (callback.Code == "") == (callback.Error == "") {
		return Callback{}, errIncomplete
	}
	if l.ended {
		return Callback{}, ErrTaken
	}
	if l.arrived {
		return Callback{}, errArrived
	}
	l.arrived = true
	return callback, nil
}

// serveDone holds the browser until Finish has been called, so that it never says "signed in" too early.
func (l *Listener) serveDone(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	arrived := l.arrived
	l.mu.Unlock()
	if !arrived {
		refuse(w, http.StatusNotFound)
		return
	}
	select {
	case l.waiters <- struct{}{}:
		defer func() { <-l.waiters }()
	default:
		refuse(w, http.StatusServiceUnavailable)
		return
	}

	control := http.NewResponseController(w)
	// The server's own limits are for unknown clients. Errors here would show in the write below.
	control.SetReadDeadline(time.Time{})
	control.SetWriteDeadline(time.Now().Add(doneTime + requestTime))
	limit := time.NewTimer(doneTime)
	defer limit.Stop()
	select {
	case <-r.Context().Done():
		return
	case <-limit.C:
		l.pages.write(w, http.StatusOK, slowPage, "")
		return
	case <-l.decided:
	}

	l.mu.Lock()
	result := l.result
	l.mu.Unlock()
	switch result.Ending {
	case SignedIn:
		l.pages.write(w, http.StatusOK, signedInPage, result.Account)
	case Denied:
		l.pages.write(w, http.StatusOK, deniedPage, "")
	default:
		l.pages.write(w, http.StatusOK, failedPage, "")
	}
	// Finish, and with it the process, may end as soon as the page is sent.
	control.Flush()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.fetched {
		l.fetched = true
		close(l.served)
	}
}

// same compares in constant time.
func same(a, b string) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

// redirect answers 303, so that the next request is a GET whatever this one was (RFC 9700 §4.12).
func redirect(w http.ResponseWriter, location string) {
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusSeeOther)
}

// refuse answers with the status alone and closes the connection, since the request is not from our sign-in.
func refuse(w http.ResponseWriter, status int) {
	refuseSaying(w, status, http.StatusText(status))
}

// refuseSaying is refuse with a sentence for a person. A browser shows it, so it is a page with a title and a language.
func refuseSaying(w http.ResponseWriter, status int, sentence string) {
	h := w.Header()
	h.Set("Connection", "close")
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<!doctype html>\n<html lang=\"en\">\n<title>%s</title>\n<main>\n<h1>%s</h1>\n</main>\n</html>\n",
		http.StatusText(status), sentence)
}
