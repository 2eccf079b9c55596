package clerk

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"clerk-credential-helper/internal/config"
)

// connectProxy is a proxy that answers each CONNECT with a text, and closes the connection; with an empty one it is silent.
func connectProxy(t *testing.T, answer string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
					return
				}
				if answer == "" {
					io.Copy(io.Discard, conn) // until the client gives up
					return
				}
				io.WriteString(conn, answer)
			}()
		}
	}()
	return l.Addr().String()
}

// TestProxy: a proxy that gives no connection is named, and never its address, which may have a password in it.
func TestProxy(t *testing.T) {
	const clerk, here = "https://clerk.acme.test", "https://127.0.0.1:1"
	const unusable = "HTTPS_PROXY cannot be used: it is not the address of a proxy"
	for _, row := range []struct {
		reason, issuer string
		answer         string // of a proxy to CONNECT
		address        string // in place of that proxy's
		want           string // of the error, if it is the proxy's
		status         int
	}{
		{"407", clerk, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n", "", "the proxy that HTTPS_PROXY names wants a user and a password (status 407)", 407},
		{"302 to a page", clerk, "HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\n\r\n", "", "the proxy that HTTPS_PROXY names refuses (status 302)", 302},
		{"403", clerk, "HTTP/1.1 403 Forbidden\r\n\r\n", "", "the proxy that HTTPS_PROXY names refuses (status 403)", 403},
		{"502", clerk, "HTTP/1.1 502 Bad Gateway\r\n\r\n", "", "the proxy that HTTPS_PROXY names refuses (status 502)", 502},
		{"it hangs up", clerk, "\r\n", "", "the proxy that HTTPS_PROXY names gives no connection", 0},
		{"it speaks something else", clerk, "220 mail.example ESMTP\r\n", "", "the proxy that HTTPS_PROXY names gives no connection", 0},
		{"it says nothing", clerk, "", "", "the proxy that HTTPS_PROXY names gives no connection: no answer in time", 0},
		{"it is not there", clerk, "", "http://person:s3cret@127.0.0.1:1", "the proxy that HTTPS_PROXY names gives no connection: dial tcp", 0},
		{"it is not there, with TLS", clerk, "", "https://person:s3cret@127.0.0.1:1", "the proxy that HTTPS_PROXY names gives no connection: dial tcp", 0},
		{"it is not there, as SOCKS", clerk, "", "socks5://person:s3cret@127.0.0.1:1", "the proxy that HTTPS_PROXY names gives no connection", 0},
		{"no URL", clerk, "", "http://person:s3cret@[proxy:3128", unusable, 0},
		{"a scheme of no proxy", clerk, "", "ftp://person:s3cret@proxy:21", unusable, 0},
		{"a port that is a word", clerk, "", "http://person:s3cret@proxy:port", unusable, 0},
		{"an answer, and then no TLS", clerk, "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 400 Bad Request\r\n\r\n", "", "", 0},
		{"an issuer on this machine has none", here, "HTTP/1.1 407 no\r\n\r\n", "", "", 0},
		{"an issuer on this machine, and no URL", here, "", "http://person:s3cret@[proxy:3128", "", 0},
	} {
		t.Run(row.reason, func(t *testing.T) {
			for _, name := range []string{"https_proxy", "NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy"} {
				t.Setenv(name, "")
			}
			address := row.address
			if address == "" {
				address = "http://person:s3cret@" + connectProxy(t, row.answer)
			}
			t.Setenv("HTTPS_PROXY", address)
			transport, err := NewTransport(nil)
			if err != nil {
				t.Fatal(err)
			}
			var traced strings.Builder
			c := &Client{Transport: transport, Trace: func(format string, args ...any) { traced.WriteString(format) }}
			limit := 20 * time.Second
			if strings.HasSuffix(row.want, "in time") {
				limit = 300 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			_, err = c.Begin(ctx, &config.Profile{Name: "acme", Issuer: row.issuer, ClientID: "client", Token: "access"})
			if err == nil || strings.Contains(err.Error(), "s3cret") || strings.Contains(traced.String(), "s3cret") {
				t.Fatalf("error %v, trace %q", err, traced.String())
			}
			proxy, named := errors.AsType[*ProxyError](err)
			switch {
			case named != (row.want != ""):
				t.Errorf("error %v: is it the proxy's? %v", err, named)
			case named && (!strings.Contains(err.Error(), row.want) || proxy.Status != row.status):
				t.Errorf("error %v (%d), want %q", err, proxy.Status, row.want)
			}
			if errors.Is(err, ErrProxyAddress) != (row.want == unusable) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestProxyIsNotToBlame: Ctrl-C is the person's, not the proxy's.
func TestProxyIsNotToBlame(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://"+connectProxy(t, ""))
	t.Setenv("NO_PROXY", "")
	c := &Client{}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	_, err := c.Begin(ctx, &config.Profile{Name: "acme", Issuer: "https://clerk.acme.test", ClientID: "client", Token: "access"})
	if _, named := errors.AsType[*ProxyError](err); named || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestUsableProxy(t *testing.T) {
	for value, want := range map[string]bool{
		"http://proxy.acme.dev:3128": true, "proxy.acme.dev:3128": true, "proxy.acme.dev": true, "https://proxy.acme.dev": true,
		"socks5://127.0.0.1:1080": true, "socks5h://127.0.0.1:1080": true, "http://u:p@proxy:3128": true, "u:p@proxy:3128": true,
		"http://[::1]:3128": true, "127.0.0.1:3128": true, "http://proxy:3128/": true,
		"http://[proxy:3128": false, "ftp://proxy:21": false, "socks4://proxy:1080": false, "http://proxy:port": false, "http://proxy:99999": false,
		"http://proxy:0": false, "http://proxy:": false, "http://": false, "://": false, "http://:3128": false, "proxy acme": false, "direct\n": false,
	} {
		if got := UsableProxy(value); got != want {
			t.Errorf("UsableProxy(%q) = %v", value, got)
		}
	}
}
