package clerk

import (
	"context"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// frozenRoute carries connections to a server, until they are frozen: no byte arrives any more, and nobody is told. That
// is what a laptop's connections are after it slept, or changed its network. New ones are carried.
type frozenRoute struct {
	net.Listener
	mu     sync.Mutex
	frozen chan struct{} // closed for the connections until now
}

func newFrozenRoute(t *testing.T, to string) *frozenRoute {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &frozenRoute{Listener: l, frozen: make(chan struct{})}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp4", to)
			if err != nil {
				client.Close()
				continue
			}
			t.Cleanup(func() { client.Close(); server.Close() })
			r.mu.Lock()
			frozen := r.frozen
			r.mu.Unlock()
			go carry(server, client, frozen)
			go carry(client, server, frozen)
		}
	}()
	return r
}

func carry(to io.Writer, from io.Reader, frozen chan struct{}) {
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		select {
		case <-frozen:
			continue
		default:
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (r *frozenRoute) freeze() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.frozen)
	r.frozen = make(chan struct{})
}

// TestFrozenConnection: a connection that has died without a word is given up for a new one while the person is still
// waited for.
func TestFrozenConnection(t *testing.T) {
	t.Parallel() // most of it is waiting
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Proto)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	route := newFrozenRoute(t, server.Listener.Addr().String())
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	transport, err := NewTransport(ca)
	if err != nil {
		t.Fatal(err)
	}
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
	if _, err := ask(callTime); err == nil {
		t.Error("a dead connection has answered")
	}
	if proto, err := ask(10 * time.Second); err != nil || proto != "HTTP/2.0" {
		t.Errorf("the next request: %q, %v", proto, err)
	}
}
