package sandbox

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// ClientID is the client that Listen knows.
const ClientID = "sandbox-client"

// Listen serves a stand-in for Clerk on a port of 127.0.0.1, one of the system's choice for 0, until stop is called.
func Listen(port int, o Options) (issuer string, s *Server, stop func(), err error) {
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return "", nil, nil, fmt.Errorf("listening for the sandbox: %w", err)
	}
	o.Issuer, o.ClientID = "http://"+l.Addr().String(), ClientID
	s = New(o)
	return o.Issuer, s, Serve(l, s), nil
}

// Serve serves until the returned function is called.
func Serve(l net.Listener, h http.Handler) (stop func()) {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			server.Close()
		}
	}()
	return func() {
		server.Close()
		<-done
	}
}
