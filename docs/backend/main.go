// Command backend-example is a server that accepts every kind of token that Clerk issues: an example to read and to copy
// from.
//
//	GET /whoami      who the token speaks for, as JSON
//	GET /NAME.git/…  with -git DIR: the bare repositories below DIR, to clone and fetch; with -push also to push
//	GET, POST /token with -registry NAME: the tokens of a registry, for its clients
//	GET /.well-known/clerk-credential-helper.json
//	                 with -company-file FILE: what "clerk-credential-helper setup HOST" fetches, without a token
//
// Clients send the token as Bearer, or as the password of Basic as git and docker do. token.go decides whether it is
// good, keys.go knows the issuer's keys, git.go runs git, registry.go issues tokens for a registry. TLS is the business of
// the proxy in front.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "backend-example:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	issuer := flag.String("issuer", "", "Frontend API URL of the Clerk instance, exactly as in the tokens")
	clients := flag.String("client-id", "", "OAuth clients whose access tokens are accepted, separated by commas; none: no access tokens")
	origins := flag.String("origin", "", "origins that session tokens may name (azp), separated by commas")
	audience := flag.String("audience", "", "what a token may name as its audience (aud); most of Clerk's have none")
	api := flag.String("api", "https://api.clerk.com", "Backend API, for opaque tokens and API keys; its key is in CLERK_SECRET_KEY")
	var serve served
	flag.StringVar(&serve.git, "git", "", "folder of bare repositories to serve")
	flag.BoolVar(&serve.push, "push", false, "accept pushes to them and to the registry, from every caller")
	flag.StringVar(&serve.registry, "registry", "", "name of a registry (its auth.token.service), whose clients get tokens at /token")
	flag.StringVar(&serve.certificate, "registry-cert", "", "PEM file of the certificate that the registry trusts (rootcertbundle)")
	flag.StringVar(&serve.key, "registry-key", "", "PEM file of that certificate's RSA key")
	flag.StringVar(&serve.company, "company-file", "", "file that the company publishes for its people, as setup --print-company-file prints it")
	ca := flag.String("ca", "", "PEM file of further roots for the issuer's and the API's certificates")
	flag.Parse()
	for name, address := range map[string]string{"-issuer": *issuer, "-api": *api} {
		if !isSafe(address) {
			return fmt.Errorf("%s must be https://HOST, or http:// and an address of this machine, without a slash at the end", name)
		}
	}
	client, err := newClient(*ca)
	if err != nil {
		return err
	}
	verifier := &Verifier{
		Issuer:    *issuer,
		Clients:   split(*clients),
		Origins:   split(*origins),
		Audience:  *audience,
		API:       *api,
		SecretKey: os.Getenv("CLERK_SECRET_KEY"),
		HTTP:      client,
	}
	handler, err := newHandler(verifier, serve, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      10 * time.Minute, // a clone may take its time
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    32 << 10, // a token of 16 KiB, in base64 once more
	}
	fmt.Printf("listening on http://%s\n", listener.Addr())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return server.Shutdown(ctx)
}

// isSafe reports whether keys may be fetched from an address, and a secret sent to it.
func isSafe(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Host != "" && !strings.HasSuffix(address, "/") && u.RawQuery == "" && u.Fragment == "" && u.User == nil &&
		(u.Scheme == "https" || u.Scheme == "http" && net.ParseIP(u.Hostname()).IsLoopback())
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// newClient makes the client for the issuer and the API: short waits, and no redirect, which would take a token elsewhere.
func newClient(caFile string) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, err
		}
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM form", caFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	return &http.Client{
		Transport:     transport,
		Timeout:       5 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// served is what there is beside /whoami.
type served struct {
	git  string // folder of bare repositories
	push bool   // to them, and to the registry

	registry, certificate, key string // of newTokenService

	company string // the file that the company publishes
}

// newHandler puts everything that is served behind the check of the token.
func newHandler(verifier *Verifier, serve served, log *slog.Logger) (http.Handler, error) {
	mux := http.NewServeMux()
	mux.Handle("GET /whoami", protect(verifier.Request, log, whoami))
	if serve.git != "" {
		repositories, err := gitServer(serve.git, serve.push)
		if err != nil {
			return nil, err
		}
		mux.Handle("/", protect(verifier.Request, log, repositories))
	}
	if serve.company != "" {
		file, err := readCompanyFile(serve.company)
		if err != nil {
			return nil, err
		}
		mux.HandleFunc("GET /.well-known/clerk-credential-helper.json", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Write(file)
		})
	}
	if serve.registry != "" {
		tokens, err := newTokenService(serve.registry, serve.certificate, serve.key, serve.push, verifier.now)
		if err != nil {
			return nil, err
		}
		mux.Handle("GET /token", protect(verifier.Request, log, tokens.issue))
		mux.Handle("POST /token", protect(verifier.Form, log, tokens.issue))
	}
	return mux, nil
}

// readCompanyFile reads a file of at most 64 KiB, which is all that the helper reads. It looks no further than the version.
func readCompanyFile(name string) ([]byte, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var file struct {
		Version  int
		Profiles map[string]json.RawMessage
	}
	if err := json.Unmarshal(text, &file); err != nil || file.Version != 1 || len(file.Profiles) == 0 || len(text) > 64<<10 {
		return nil, fmt.Errorf("%s is not what clerk-credential-helper setup --print-company-file prints", name)
	}
	return text, nil
}

// protect passes a request to next only if check finds a valid token in it. It logs the caller and never the token.
func protect(check func(*http.Request) (Caller, error), log *slog.Logger, next func(http.ResponseWriter, *http.Request, Caller)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, err := check(r)
		var refused refusal
		switch {
		case errors.As(err, &refused):
			log.Info("refused", "method", r.Method, "path", r.URL.Path, "reason", err)
			// git, curl and all that use libcurl send a password only where Basic was offered (RFC 9110 §15.5.2).
			bearer := `Bearer realm="Clerk"`
			if refused != errNoToken {
				bearer += `, error="invalid_token"` // RFC 6750 §3.1
			}
			w.Header()["Www-Authenticate"] = []string{`Basic realm="Clerk", charset="UTF-8"`, bearer}
			http.Error(w, "a live token of this company's Clerk is needed", http.StatusUnauthorized)
		case err != nil: // not the token's fault: after a 401 a client would discard a valid token
			log.Error("not checked", "method", r.Method, "path", r.URL.Path, "error", err)
			w.Header().Set("Retry-After", "10")
			http.Error(w, "the token could not be checked: try again", http.StatusServiceUnavailable)
		default:
			log.Info("accepted", "method", r.Method, "path", r.URL.Path, "kind", caller.Kind, "subject", caller.Subject)
			next(w, r, caller)
		}
	})
}

func whoami(w http.ResponseWriter, _ *http.Request, caller Caller) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(caller)
}
