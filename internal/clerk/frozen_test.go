package clerk

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a network with one server. Its connections are pipes until they are frozen: then no byte arrives any more, and
// neither end is notified, like the connections of a laptop that slept or changed its network. New connections work.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
	once     sync.Once

	mu     sync.Mutex
	frozen chan struct{} // closed for the connections until now
}

func newPipes() *pipes {
	return &pipes{accepted: make(chan net.Conn), closed: make(chan struct{}), frozen: make(chan struct{})}
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	p.mu.Lock()
	frozen := p.frozen
	p.mu.Unlock()
	client, ours := net.Pipe()
	theirs, server := net.Pipe()
	go carry(theirs, ours, frozen)
	go carry(ours, theirs, frozen)
	select {
	case p.accepted <- server:
		return client, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func carry(to, from net.Conn, frozen chan struct{}) {
	defer from.Close()
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		select {
		case <-frozen:
			if err != nil {
				return // and the other end is not notified
			}
			continue
		default:
		}
		if err != nil {
			to.Close()
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (p *pipes) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.frozen)
	p.frozen = make(chan struct{})
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.accepted:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }

// TestFrozenConnection: a connection that broke unnoticed is replaced by a new one while the user is still waited for. The clock is synctest's.
func TestFrozenConnection(t *testing.T) { synctest.Test(t, testFrozenConnection) }

func testFrozenConnection(t *testing.T) {
	route := newPipes()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Proto)
	}))
	server.Listener.Close()
	server.Listener = route
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	made, err := NewTransport(ca)
	if err != nil {
		t.Fatal(err)
	}
	transport := made.(*http.Transport)
	transport.Proxy, transport.DialContext = nil, route.dial
	t.Cleanup(transport.CloseIdleConnections)
	c := &Client{Transport: transport}
	ask := func(limit time.Duration) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+route.Addr().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := c.fetch("keys", req)
		return string(body), err
	}
	if proto, err := ask(10 * time.Second); err != nil || proto != "HTTP/2.0" {
		t.Fatalf("%q, %v", proto, err)
	}
	route.freeze()
	began := time.Now()
	if _, err := ask(callTime); err == nil {
		t.Error("a dead connection has answered")
	}
	if took := time.Since(began); took < quietTime || took >= callTime {
		t.Errorf("it was given up after %v", took)
	}
	if proto, err := ask(10 * time.Second); err != nil || proto != "HTTP/2.0" {
		t.Errorf("the next request: %q, %v", proto, err)
	}
}

// TestCallTime: a request whose answer does not end is given up. The clock is synctest's.
func TestCallTime(t *testing.T) { synctest.Test(t, testCallTime) }

func testCallTime(t *testing.T) {
	for _, row := range []struct {
		reason string
		ctx    context.Context
		body   bool // the answer begins
		want   time.Duration
	}{
		{"no answer", t.Context(), false, callTime},
		{"an answer without an end", t.Context(), true, callTime},
		{"no answer of the token endpoint", forToken(t.Context()), false, tokenTime},
		{"one of its answers without an end", forToken(t.Context()), true, tokenTime},
	} {
		c := &Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
			if row.body {
				return &http.Response{StatusCode: http.StatusOK, Body: untilDone{req.Context()}}, nil
			}
			<-req.Context().Done()
			return nil, req.Context().Err()
		})}
		req, err := http.NewRequestWithContext(row.ctx, http.MethodGet, "https://clerk.acme.dev/", nil)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := c.fetch("token", req); !errors.Is(err, errLate) {
			t.Errorf("%s: %v", row.reason, err)
		}
		if took := time.Since(began); took != row.want {
			t.Errorf("%s: it was given up after %v", row.reason, took)
		}
	}
}

// untilDone is a body that brings nothing until its request has ended.
type untilDone struct{ ctx context.Context }

func (u untilDone) Read([]byte) (int, error) { <-u.ctx.Done(); return 0, u.ctx.Err() }
func (u untilDone) Close() error             { return nil }
