// Package clients runs the client code of terraform, kubectl and oras, as modules, against the built program. Few machines
// have their programs, and their modules have too many dependencies for the product's own go.mod.
package clients

import (
	"bufio"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	svchost "github.com/hashicorp/terraform-svchost"
	"github.com/hashicorp/terraform-svchost/auth"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd/api"
)

// world is a signed-in home with the program in it, and a server that takes only the sandbox's tokens.
type world struct {
	bin    string
	server *httptest.Server
	host   string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{bin: filepath.Join(dir, "bin")}
	helper := filepath.Join(w.bin, "clerk-credential-helper")
	build := exec.Command("go", "build", "-o", helper, "./cmd/clerk-credential-helper")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v\n%s", err, out)
	}
	for _, name := range []string{"terraform-credentials-clerk", "clerk-demo-browser"} {
		if err := os.Symlink(helper, filepath.Join(w.bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	issuer := startSandbox(t, helper)
	w.server = httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		ask, err := http.NewRequestWithContext(r.Context(), http.MethodGet, issuer+"/oauth/userinfo", nil)
		if err == nil {
			ask.Header.Set("Authorization", r.Header.Get("Authorization"))
			var res *http.Response
			if res, err = http.DefaultClient.Do(ask); err == nil {
				res.Body.Close()
				rw.WriteHeader(res.StatusCode)
				fmt.Fprint(rw, `{"major": "1"}`)
				return
			}
		}
		http.Error(rw, err.Error(), http.StatusBadGateway)
	}))
	t.Cleanup(w.server.Close)
	w.host = w.server.Listener.Addr().String()
	for name, value := range map[string]string{
		"HOME": dir, "XDG_CONFIG_HOME": "", "XDG_STATE_HOME": "", "CI": "",
		"CLERK_HELPER_STORE": "file", "CLERK_HELPER_INTERACTIVE": "never", "BROWSER": filepath.Join(w.bin, "clerk-demo-browser"),
		"CLERK_HELPER_ISSUER": issuer, "CLERK_HELPER_CLIENT_ID": "sandbox-client", "CLERK_HELPER_HOSTS": w.host,
	} {
		t.Setenv(name, value)
	}
	return w
}

// startSandbox runs the stand-in for Clerk and gives its issuer.
func startSandbox(t *testing.T, helper string) string {
	t.Helper()
	cmd := exec.Command(helper, "sandbox", "--auto")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	issuer := regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`).FindString(line)
	if issuer == "" {
		t.Fatalf("the sandbox said %q, %v", line, err)
	}
	return issuer
}

func (w *world) run(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(w.bin, "clerk-credential-helper"), args...)
	cmd.Env = append(os.Environ(), "CLERK_HELPER_INTERACTIVE=always")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
}

// TestTerraform uses the code with which terraform and tofu call a credentials helper.
func TestTerraform(t *testing.T) {
	w := newWorld(t)
	source := auth.HelperProgramCredentialsSource(filepath.Join(w.bin, "terraform-credentials-clerk"))
	host, err := svchost.ForComparison(w.host)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.ForHost(host); err == nil || !strings.Contains(err.Error(), "clerk-credential-helper login") {
		t.Errorf("signed out: %v; it must say what to run", err)
	}
	w.run(t, "login")
	credentials, err := source.ForHost(host)
	if err != nil || credentials == nil {
		t.Fatalf("signed in: %v, %v", credentials, err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	credentials.PrepareRequest(req)
	res, err := w.server.Client().Do(req)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("the server: %v, %v", res, err)
	}
	res.Body.Close()
	if other, err := source.ForHost(svchost.Hostname("registry.evil.dev")); err != nil || other != nil {
		t.Errorf("a foreign host: %v, %v; want none", other, err)
	}
}

// TestKubectl uses the code with which kubectl, helm and other clients call a credential plugin.
func TestKubectl(t *testing.T) {
	for _, version := range []string{"v1", "v1beta1"} {
		t.Run(version, func(t *testing.T) {
			w := newWorld(t)
			get := func() (int, error) {
				config := &rest.Config{
					Host:            w.server.URL,
					TLSClientConfig: rest.TLSClientConfig{CAData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.server.Certificate().Raw})},
					ExecProvider: &api.ExecConfig{
						APIVersion:         "client.authentication.k8s.io/" + version,
						Command:            filepath.Join(w.bin, "clerk-credential-helper"),
						Args:               []string{"kube"},
						InteractiveMode:    api.IfAvailableExecInteractiveMode,
						ProvideClusterInfo: true,
						StdinUnavailable:   true,
					},
				}
				client, err := rest.HTTPClientFor(config)
				if err != nil {
					return 0, err
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.server.URL+"/version", nil)
				if err != nil {
					return 0, err
				}
				res, err := client.Do(req)
				if err != nil {
					return 0, err
				}
				defer res.Body.Close()
				_, err = io.Copy(io.Discard, res.Body)
				return res.StatusCode, err
			}
			if status, err := get(); err == nil {
				t.Errorf("signed out: status %d", status)
			}
			w.run(t, "login")
			if status, err := get(); err != nil || status != http.StatusOK {
				t.Errorf("signed in: status %d, %v", status, err)
			}
		})
	}
}
