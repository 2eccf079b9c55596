package main

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"clerk-credential-helper/internal/demo"
	"clerk-credential-helper/internal/sandbox"
	"clerk-credential-helper/internal/testworld"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestNewcomer is the way in, with nothing there but the programs. Clerk is reached over https, as a publishable key
// wants it.
func TestNewcomer(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "newcomer"),
		RequireExplicitExec: true,
		Condition:           testworld.Condition(t),
		Cmds:                testworld.Commands(lockIn),
		Setup: func(env *testscript.Env) error {
			browser, err := exec.LookPath(demo.Browser)
			if err != nil {
				return err
			}
			w, vars, err := testworld.Setup(env, browser)
			if err != nil {
				return err
			}
			home := vars["HOME"]
			for _, name := range []string{".config", ".gitconfig", ".docker"} {
				if err := os.RemoveAll(filepath.Join(home, name)); err != nil {
					return err
				}
			}
			certificate, ca, err := sandbox.Certificate("127.0.0.1")
			if err != nil {
				return err
			}
			roots, err := os.OpenFile(vars["SSL_CERT_FILE"], os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				return err
			}
			if _, err := roots.Write(ca); err != nil {
				return err
			}
			if err := roots.Close(); err != nil {
				return err
			}
			server := httptest.NewUnstartedServer(w.Clerk)
			server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.StartTLS()
			env.Defer(server.Close)
			w.Clerk.SetIssuer(server.URL)
			w.Clerk.Publish([]string{vars["GIT"]}, []string{"git", "docker"})
			env.Setenv("COMPANY", server.URL)
			key := "pk_test_" + base64.StdEncoding.EncodeToString([]byte(strings.TrimPrefix(server.URL, "https://")+"$"))
			answers := fmt.Sprintf("%s\nsandbox-client\n%s\ny\ny\n", key, vars["GIT"])
			return os.WriteFile(filepath.Join(env.WorkDir, "answers"), []byte(answers), 0o600)
		},
	})
}
