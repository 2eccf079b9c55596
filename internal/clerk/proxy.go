package clerk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/net/http/httpproxy"
)

// ErrProxyAddress means that a variable such as HTTPS_PROXY does not name a proxy that can be used.
var ErrProxyAddress = errors.New("it is not the address of a proxy")

// ProxyError means that the proxy of the environment (HTTPS_PROXY) gave no connection to an issuer. It never holds the
// proxy's address, which may have a password in it.
type ProxyError struct {
	Status int   // of its answer to CONNECT (RFC 9110 §9.3.6); 0 if there was none
	Err    error // why there was none, such as ErrProxyAddress; may be nil
}

func (e *ProxyError) Error() string {
	const begin = "the proxy that HTTPS_PROXY names "
	switch {
	case e.Status == http.StatusProxyAuthRequired:
		return begin + "wants a user and a password (status 407)"
	case e.Status != 0:
		return begin + fmt.Sprintf("refuses (status %d)", e.Status)
	case errors.Is(e.Err, ErrProxyAddress):
		return "HTTPS_PROXY cannot be used: " + e.Err.Error()
	case e.Err != nil:
		return begin + fmt.Sprintf("gives no connection: %v", e.Err)
	}
	return begin + "gives no connection"
}

func (e *ProxyError) Unwrap() error { return e.Err }

// UsableProxy reports whether the value of a variable such as HTTPS_PROXY is an address that requests can go through: a URL
// with http, https, socks5 or socks5h, or a host and a port alone.
func UsableProxy(value string) bool {
	u, err := url.Parse(value)
	if err != nil || u.Scheme == "" || u.Host == "" { // as in golang.org/x/net/http/httpproxy
		u, err = url.Parse("http://" + value)
	}
	if err != nil || u.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
		return false
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return u.Port() == "" && !strings.HasSuffix(u.Host, ":") || err == nil && port > 0
}

// proxyOf is http.ProxyFromEnvironment, which passes over an address that cannot be used: the request would go without the
// proxy, and fail or not be allowed.
func proxyOf(req *http.Request) (*url.URL, error) {
	env := httpproxy.FromEnvironment()
	value := &env.HTTPSProxy
	if req.URL.Scheme == "http" {
		value = &env.HTTPProxy
	}
	if *value == "" || UsableProxy(*value) {
		return env.ProxyFunc()(req.URL)
	}
	*value = "http://proxy.invalid" // is there to be one for this host (NO_PROXY)?
	proxy, err := env.ProxyFunc()(req.URL)
	if proxy != nil {
		return nil, &ProxyError{Err: ErrProxyAddress}
	}
	return nil, err
}

// refusedByProxy is the error of a proxy's answer to CONNECT.
func refusedByProxy(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	return &ProxyError{Status: answer.StatusCode}
}

// proxied watches a request that may go through a proxy.
type proxied struct{ through atomic.Bool }

// watch returns ctx for a request to be watched.
func (p *proxied) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		TLSHandshakeStart: func() { p.through.Store(true) }, // with the issuer: what is wrong now is not the proxy
		GotConn:           func(httptrace.GotConnInfo) { p.through.Store(true) },
	})
}

// err is err, as a *ProxyError if the proxy has given no connection.
func (p *proxied) err(base http.RoundTripper, req *http.Request, err error) error {
	if _, named := errors.AsType[*ProxyError](err); named || errors.Is(err, context.Canceled) {
		return err
	}
	// A proxy that is spoken to over TLS has a handshake of its own.
	dial, ok := errors.AsType[*net.OpError](err)
	if ok && dial.Op == "proxyconnect" {
		return &ProxyError{Err: dial.Err}
	}
	transport, ok := base.(*http.Transport)
	if !ok || transport.Proxy == nil || p.through.Load() {
		return err
	}
	if proxy, proxyErr := transport.Proxy(req); proxyErr != nil || proxy == nil {
		return err
	}
	return &ProxyError{Err: err}
}
