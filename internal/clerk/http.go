package clerk

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

const (
	// callTime limits one request, from the dial to the last byte of the answer.
	callTime = 30 * time.Second
	// documentTime limits a request for metadata or keys, which are small, and which a user waits for. It leaves time to a
	// machine that a thousand tools have just been started on.
	documentTime = 20 * time.Second
	// connectTime limits what comes before a request: the name, the dial, a proxy, the TLS handshake.
	connectTime = 10 * time.Second
	// slowAfter is when Client.Tell is told that an answer is waited for.
	slowAfter = 2 * time.Second
	// tokenTime limits a token request from the moment at which there is a connection for it. It is long: the issuer may
	// have used up the code or the refresh token, and its answer is the only copy of the new tokens.
	tokenTime = 60 * time.Second
	// quietTime is how long an HTTP/2 connection may be silent during a request before it is pinged, and pingTime how long
	// the answer may take. A connection that broke unnoticed, while a laptop slept or changed its network, would be used
	// for the next requests too. Token requests have connections of their own, which are given up later, for the reason
	// that tokenTime has.
	quietTime     = 10 * time.Second
	pingTime      = 15 * time.Second
	tokenPingTime = 45 * time.Second
	// maxBody limits the body of an answer, after decompression, in bytes.
	maxBody = 1 << 20
	// maxHeaders limits the header of an answer, in bytes.
	maxHeaders = 64 << 10
)

// ResponseError is a refusal by the issuer. It never holds the body of the answer, nor anything secret of the request
// that the answer may have quoted.
type ResponseError struct {
	Endpoint    string // "discovery", "authorize", "device", "token", "userinfo", "keys", "revoke", "exchange" or "CI"
	Status      int    // HTTP status; 0 if the refusal came through the browser
	Code        string // the error of RFC 6749 §5.2, or of Clerk's own form; foreign text, at most 64 bytes; may be empty
	OAuth       bool   // Code is the error of RFC 6749 §5.2
	Description string // foreign text, at most 200 bytes; may be empty
	// RetryAfter is how long to wait before the next request (RFC 9110 §10.2.3), at most 24 h; 0 if the issuer does not say.
	RetryAfter time.Duration
}

func (e *ResponseError) Error() string {
	s := e.Endpoint + " endpoint"
	if e.Status != 0 {
		s += fmt.Sprintf(": status %d", e.Status)
	}
	if e.Code != "" {
		s += fmt.Sprintf(": %q", e.Code)
	}
	if e.Description != "" {
		s += fmt.Sprintf(" (%q)", e.Description)
	}
	return s
}

// NewTransport returns a transport for Client, which takes proxies from the environment and needs TLS 1.2. caFile, if not
// nil, is PEM of roots that are trusted in addition to the system's; it is an error if it holds none.
func NewTransport(caFile []byte) (http.RoundTripper, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != nil {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool() // a system without roots of its own
		}
		if !roots.AppendCertsFromPEM(caFile) {
			return nil, errors.New("the CA file holds no certificate in PEM form")
		}
		config.RootCAs = roots
	}
	dialer := &net.Dialer{Timeout: connectTime}
	return &http.Transport{
		Proxy:                  proxyOf,
		OnProxyConnectResponse: refusedByProxy,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    connectTime,
		IdleConnTimeout:        callTime,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: quietTime, PingTimeout: pingTime},
		MaxResponseHeaderBytes: maxHeaders,
	}, nil
}

// httpClient returns the client that makes every request of c.
func (c *Client) httpClient() (*http.Client, error) {
	c.once.Do(func() {
		base := c.Transport
		if base == nil {
			if base, c.err = NewTransport(nil); c.err != nil {
				return
			}
		}
		c.client = &http.Client{
			Transport: &gate{base: base, tokens: forTokens(base), client: c}, // has the time limits
			// A redirect of a token request would send the code or the refresh token elsewhere. Not followed, it is
			// an answer with an unexpected status.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	})
	return c.client, c.err
}

// tokenRequest marks the context of a request to the token endpoint.
type tokenRequest struct{}

// forToken is the context of a request to the token endpoint, which gets tokenTime.
func forToken(ctx context.Context) context.Context {
	return context.WithValue(ctx, tokenRequest{}, true)
}

// documentRequest marks the context of a request that gets documentTime.
type documentRequest struct{}

func forDocument(ctx context.Context) context.Context {
	return context.WithValue(ctx, documentRequest{}, true)
}

// errLate is why a request was given up.
var errLate = errors.New("no answer in time")

// limit bounds one request by callTime or documentTime, or by tokenTime from the moment at which a token request has its
// connection.
func limit(ctx context.Context) (limited context.Context, stop func()) {
	limited, cancel := context.WithCancelCause(ctx)
	most := callTime
	switch {
	case ctx.Value(tokenRequest{}) != nil:
		most = tokenTime
	case ctx.Value(documentRequest{}) != nil:
		most = documentTime
	}
	timer := time.AfterFunc(most, func() { cancel(errLate) })
	if most == tokenTime {
		limited = httptrace.WithClientTrace(limited, &httptrace.ClientTrace{
			GetConn: func(string) { timer.Reset(connectTime) },
			GotConn: func(httptrace.GotConnInfo) { timer.Reset(tokenTime) },
		})
	}
	return limited, func() { timer.Stop(); cancel(nil) }
}

// forTokens is the transport of token requests.
func forTokens(base http.RoundTripper) http.RoundTripper {
	made, ok := base.(*http.Transport)
	if !ok {
		return base
	}
	t := made.Clone()
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: quietTime, PingTimeout: tokenPingTime}
	return t
}

// gate is the transport of all requests: it sets the User-Agent, reads the answer within its limits, and traces.
type gate struct {
	base   http.RoundTripper
	tokens http.RoundTripper // for token requests
	client *Client
}

// RoundTrip implements http.RoundTripper. The body of the response is in memory.
func (g *gate) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, stop := limit(req.Context())
	defer stop()
	var way proxied
	req = req.Clone(way.watch(ctx))
	if tell := g.client.Tell; tell != nil {
		slow := time.AfterFunc(slowAfter, func() { tell(Waiting(req.URL.Host)) })
		defer slow.Stop()
	}
	if g.client.UserAgent != "" {
		req.Header.Set("User-Agent", g.client.UserAgent)
	}
	where := req.Method + " " + req.URL.Scheme + "://" + req.URL.Host + req.URL.EscapedPath()
	began := g.client.now()
	base := g.base
	if req.Context().Value(tokenRequest{}) != nil {
		base = g.tokens
	}
	resp, err := base.RoundTrip(req)
	if err == nil {
		err = readAll(resp)
	}
	now := g.client.now()
	took := now.Sub(began).Round(time.Millisecond)
	if err != nil {
		if errors.Is(context.Cause(ctx), errLate) || errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = errLate
		}
		err = way.err(base, req, err)
		g.client.tracef("%s: no answer (%v)", where, took) // err may hold a secret: fetch checks it
		return nil, err
	}
	g.client.tracef("%s: %d (%v)", where, resp.StatusCode, took)
	// A document may come from a cache, with the Date of another day.
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil && ctx.Value(tokenRequest{}) != nil {
		g.client.drift.Store(int64(clockOffset(date, began, now)))
	}
	return resp, nil
}

// Waiting is what the user is told while the answer of a host is waited for.
func Waiting(host string) string { return "Waiting for " + host + " to answer ..." }

// clockOffset returns how far a server's clock is ahead of ours, at least, by the Date of an answer, which has whole seconds
// (RFC 9110 §6.6.1). The answer was made at some time between sent and received.
func clockOffset(date, sent, received time.Time) time.Duration {
	switch {
	case date.After(received):
		return date.Sub(received)
	case date.Add(time.Second).Before(sent):
		return date.Add(time.Second).Sub(sent)
	}
	return 0
}

// readAll reads resp's body into memory, and fails if it is longer than maxBody.
func readAll(resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	resp.Body.Close()
	if err != nil {
		return err
	}
	if len(body) > maxBody {
		return errors.New("the answer is larger than 1 MiB")
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// fetch makes a request to the endpoint of that name and returns the body of a 200 or 201. Errors contain none of secrets,
// which are those of the request.
func (c *Client) fetch(endpoint string, req *http.Request, secrets ...string) ([]byte, error) {
	client, err := c.httpClient()
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, networkError(endpoint, err, secrets...)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s endpoint: %w", endpoint, err)
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
		refused := bodyRefusal(endpoint, resp.StatusCode, body, secrets...)
		refused.RetryAfter = retryAfter(resp.Header, c.now())
		return nil, refused
	}
	return body, nil
}

// fetchJSON is fetch for an answer in JSON, which it decodes.
func (c *Client) fetchJSON(endpoint string, req *http.Request, into any, secrets ...string) error {
	body, err := c.fetch(endpoint, req, secrets...)
	if err != nil {
		return err
	}
	if json.Unmarshal(body, into) != nil {
		// The decoder's message may quote the answer.
		return fmt.Errorf("%s endpoint: the answer is not the JSON that was expected", endpoint)
	}
	return nil
}

// tokenError replaces an error of x/oauth2, whose message contains the whole body of the answer.
func tokenError(err error, secrets ...string) error {
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		answer := bodyRefusal("token", refused.Response.StatusCode, refused.Body, secrets...)
		answer.RetryAfter = retryAfter(refused.Response.Header, time.Now())
		return answer
	}
	if network, ok := errors.AsType[*url.Error](err); ok {
		return networkError("token", network, secrets...)
	}
	return errors.New("token endpoint: the answer holds no token")
}

// busy reports whether err is an answer after which the same request may soon succeed.
func busy(err error) bool {
	refused, ok := errors.AsType[*ResponseError](err)
	return ok && (refused.Status == http.StatusTooManyRequests || refused.Status >= http.StatusInternalServerError)
}

// busyOrLost reports whether err is busy or an error of the network.
func busyOrLost(err error) bool {
	_, lost := errors.AsType[*url.Error](err)
	return lost || busy(err)
}

// pauseNamed reports whether the issuer has put a request off until later: it has not used what was sent.
func pauseNamed(err error) bool {
	refused, ok := errors.AsType[*ResponseError](err)
	return ok && refused.RetryAfter > 0 && (refused.Status == http.StatusTooManyRequests || refused.Status == http.StatusServiceUnavailable)
}

// patiently repeats ask while again reports true for its error. It pauses 1 s, 2 s, 4 s and so on, or as Retry-After says,
// and at most most altogether.
func (c *Client) patiently(ctx context.Context, most time.Duration, again func(error) bool, ask func() error) error {
	for pause := time.Second; ; pause *= 2 {
		err := ask()
		if err == nil || !again(err) {
			return err
		}
		wait := pause
		if refused, ok := errors.AsType[*ResponseError](err); ok && refused.RetryAfter > 0 {
			wait = refused.RetryAfter
		}
		if most -= wait; most < 0 {
			return err
		}
		c.tracef("again in %v: %v", wait, err)
		if c.sleep(ctx, wait) != nil {
			return err
		}
	}
}

// retryAfter parses Retry-After (RFC 9110 §10.2.3), seconds or a date. It returns 0 if there is none or it is invalid.
// A date is compared with that of the answer, if it has one, and otherwise with now: our clock may be wrong.
func retryAfter(header http.Header, now time.Time) time.Duration {
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	const most = 24 * time.Hour
	said := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.Atoi(said); err == nil && seconds > 0 {
		return time.Duration(min(seconds, int(most/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(said); err == nil {
		return min(max(0, at.Sub(now)), most)
	}
	return 0
}

// networkError is the error of a request without an answer. net/http quotes an answer that is not HTTP, and such an answer
// can contain anything, including the request.
func networkError(endpoint string, err error, secrets ...string) error {
	text := err.Error()
	for _, secret := range secrets {
		if secret != "" && strings.Contains(text, secret) {
			return fmt.Errorf("%s endpoint: the answer is not HTTP", endpoint)
		}
	}
	return fmt.Errorf("%s endpoint: %w", endpoint, err)
}

// bodyRefusal parses an error in body, if there is one: of RFC 6749 §5.2, or in Clerk's own form, {"errors":[{"code":...}]}.
func bodyRefusal(endpoint string, status int, body []byte, secrets ...string) *ResponseError {
	var answer struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &answer) == nil && answer.Code != "" {
		return refusal(endpoint, status, answer.Code, answer.Description, secrets...)
	}
	var own struct {
		Errors []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
			Long    string `json:"long_message"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &own) != nil || len(own.Errors) == 0 {
		return refusal(endpoint, status, "", "")
	}
	first := own.Errors[0]
	refused := refusal(endpoint, status, first.Code, cmp.Or(first.Long, first.Message), secrets...)
	refused.OAuth = false
	return refused
}

// refusal returns a *ResponseError whose foreign texts are short and contain none of secrets.
func refusal(endpoint string, status int, code, description string, secrets ...string) *ResponseError {
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		code = strings.ReplaceAll(code, secret, "[secret]")
		description = strings.ReplaceAll(description, secret, "[secret]")
	}
	return &ResponseError{Endpoint: endpoint, Status: status, Code: clip(code, 64), OAuth: code != "", Description: clip(description, 200)}
}

// clip returns at most n bytes of s.
func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "")
}
