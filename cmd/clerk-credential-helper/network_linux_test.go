package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"clerk-credential-helper/internal/demo"
	"clerk-credential-helper/internal/sandbox"
)

// proxy is what a company puts between its people and the world: all hosts are behind it, under names that only it
// knows. It counts the tunnels.
type proxy struct {
	target  string // where every tunnel leads
	tunnels atomic.Int64
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	p.tunnels.Add(1)
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer server.Close()
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	if _, err := io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	go io.Copy(server, client) // ends when either is closed
	io.Copy(client, server)
}

// TestCorporateNetwork: a proxy by HTTPS_PROXY, roots by ca_file or SSL_CERT_FILE, and a clear word where they are
// missing. Go reads SSL_CERT_FILE on this kind of system only.
func TestCorporateNetwork(t *testing.T) {
	const issuer = "https://clerk.acme.test"
	clerk := sandbox.New(sandbox.Options{Issuer: issuer, Auto: true})
	certificate, ca, err := sandbox.Certificate("clerk.acme.test")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(clerk)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	between := &proxy{target: server.Listener.Addr().String()}
	front := httptest.NewServer(between)
	defer front.Close()

	stern := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusProxyAuthRequired)
	}))
	defer stern.Close()

	dir := t.TempDir()
	roots := filepath.Join(dir, "ca.pem")
	browser := filepath.Join(dir, "browser")
	follower, err := exec.LookPath(demo.Browser)
	if err != nil {
		t.Fatal(err)
	}
	// A person's browser has settings of its own.
	script := fmt.Sprintf("#!/bin/sh\nNO_PROXY= HTTPS_PROXY=%s SSL_CERT_FILE=%s exec %s \"$1\"\n", front.URL, roots, follower)
	for name, text := range map[string]string{roots: string(ca), browser: script} {
		if err := os.WriteFile(name, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	program, err := exec.LookPath("clerk-credential-helper")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		reason   string
		caFile   string
		env      []string
		signedIn bool
		want     string // in the words for people
	}{
		{"ca_file and a proxy", roots, []string{"HTTPS_PROXY=" + front.URL}, true, "signed in to acme as ada@acme.dev"},
		{"SSL_CERT_FILE and a proxy", "", []string{"HTTPS_PROXY=" + front.URL, "SSL_CERT_FILE=" + roots}, true, "signed in to acme as ada@acme.dev"},
		{"the small letters", roots, []string{"https_proxy=" + front.URL}, true, "signed in to acme as ada@acme.dev"},
		{"no root: the hint names ca_file", "", []string{"HTTPS_PROXY=" + front.URL}, false, "hint: .*ca_file"},
		{"the host is not for the proxy", roots, []string{"HTTPS_PROXY=" + front.URL, "NO_PROXY=.acme.test"}, false, "clerk.acme.test"},
		{"no proxy", roots, nil, false, "clerk.acme.test"},
		{"a proxy that wants a password", roots, []string{"HTTPS_PROXY=" + stern.URL}, false, `the proxy that HTTPS_PROXY names wants a user and a password \(status 407\)\nhint: write them into HTTPS_PROXY`},
		{"a proxy that is not there", roots, []string{"HTTPS_PROXY=http://person:s3cret@127.0.0.1:1"}, false, `the proxy that HTTPS_PROXY names gives no connection: .*\nhint: correct HTTPS_PROXY`},
		{"HTTPS_PROXY is not an address", roots, []string{"HTTPS_PROXY=http://person:s3cret@[proxy:3128"}, false, `HTTPS_PROXY cannot be used: it is not the address of a proxy\nhint: write it as http://proxy`},
		{"a ca_file that is not there", filepath.Join(dir, "none.pem"), []string{"HTTPS_PROXY=" + front.URL}, false, "ca_file"},
	} {
		t.Run(row.reason, func(t *testing.T) {
			config := filepath.Join(t.TempDir(), "config.toml")
			text := fmt.Sprintf("[profiles.acme]\nissuer = %q\nclient_id = \"sandbox-client\"\nhosts = [\"git.acme.dev\"]\n", issuer)
			if row.caFile != "" {
				text += fmt.Sprintf("ca_file = %q\n", row.caFile)
			}
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			home := t.TempDir()
			before := between.tunnels.Load()
			cmd := exec.Command(program, "login", "--timeout", "20s")
			cmd.Env = append([]string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "CLERK_HELPER_CONFIG=" + config,
				"CLERK_HELPER_STORE=file", "BROWSER=" + browser}, row.env...)
			out, err := cmd.CombinedOutput()
			if (err == nil) != row.signedIn || !matches(row.want, string(out)) {
				t.Errorf("%v, want %q in\n%s", err, row.want, out)
			}
			if row.signedIn && between.tunnels.Load() == before {
				t.Error("the proxy was not used")
			}
			if strings.Contains(string(out), "BEGIN CERTIFICATE") || strings.Contains(string(out), "s3cret") {
				t.Errorf("a certificate or a password is printed:\n%s", out)
			}
		})
	}
}

func matches(pattern, text string) bool { return regexp.MustCompile(pattern).MatchString(text) }
