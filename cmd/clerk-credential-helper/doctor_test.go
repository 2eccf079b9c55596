package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"clerk-credential-helper/internal/doctor"
	"clerk-credential-helper/internal/sandbox"
)

// runHere runs the program in this process, with the environment of the test.
func runHere(args ...string) (status int, stdout, stderr string) {
	var out, words bytes.Buffer
	status = run(&system{
		args: append([]string{"clerk-credential-helper"}, args...), stdin: strings.NewReader(""), stdout: &out, stderr: &words, getenv: os.Getenv,
	})
	return status, out.String(), words.String()
}

// wellSetUp is a machine on which everything is as it should be.
func wellSetUp(t *testing.T) (w *world, home string) {
	t.Helper()
	dir := t.TempDir()
	w, vars, err := newWorld(dir, t.Cleanup)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range vars {
		t.Setenv(name, value)
	}
	for _, name := range []string{"DOCKER_AUTH_CONFIG", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "GIT_CONFIG_GLOBAL"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"clerk-credential-helper", "git-credential-clerk", "docker-credential-clerk"} {
		if err := os.Symlink(self, filepath.Join(bin, name)); err != nil {
			t.Skip(err) // Windows lets few people make links
		}
	}
	t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	return w, vars["HOME"]
}

func TestDoctorWell(t *testing.T) {
	wellSetUp(t)
	status, out, words := runHere("doctor", "--verbose")
	if status != exitOK || strings.Contains(out, "FAILED") || strings.Contains(out, "warning") {
		t.Errorf("status %d\n%s%s", status, out, words)
	}
	if status, _, words := runHere("login"); status != exitOK {
		t.Fatal(words)
	}
	if status, out, words := runHere("doctor", "--verbose"); status != exitOK || !strings.Contains(out, "ada@acme.dev") {
		t.Errorf("signed in: status %d\n%s%s", status, out, words)
	}
}

// TestDoctorOtherTools: doctor names what setup has set up, and nothing else.
func TestDoctorOtherTools(t *testing.T) {
	wellSetUp(t)
	if status, _, words := runHere("setup", "cargo", "--yes"); status != exitOK {
		t.Fatal(words)
	}
	_, out, _ := runHere("doctor", "--verbose")
	flat := strings.Join(strings.Fields(out), " ")
	if !strings.Contains(flat, "cargo: set up in ") || strings.Contains(flat, "bazel") || strings.Contains(flat, "npm") {
		t.Errorf("doctor says\n%s", out)
	}
}

// TestDoctorBroken breaks one thing at a time. The doctor must name it, and what helps.
func TestDoctorBroken(t *testing.T) {
	const own = ".config/clerk-credential-helper/config.toml"
	tests := []struct {
		name   string
		broken func(t *testing.T, w *world, home string)
		state  doctor.State
		detail string
		remedy string
	}{
		{"no configuration", func(t *testing.T, w *world, home string) { os.Remove(filepath.Join(home, own)) },
			doctor.Failing, "there is no profile", "clerk-credential-helper setup"},
		{"no home folder", func(t *testing.T, w *world, home string) { t.Setenv("HOME", "") },
			doctor.Failing, "there is no profile, and no place for one (HOME is not set", "CLERK_HELPER_CONFIG"},
		{"no home folder, and a configuration elsewhere", func(t *testing.T, w *world, home string) {
			t.Setenv("CLERK_HELPER_CONFIG", filepath.Join(home, own))
			t.Setenv("HOME", "")
		}, doctor.Failing, "HOME is not set", "set HOME"},
		{"the configuration that is named is missing", func(t *testing.T, w *world, home string) {
			t.Setenv("CLERK_HELPER_CONFIG", filepath.Join(home, "missing.toml"))
		}, doctor.Failing, "missing.toml", "CLERK_HELPER_CONFIG"},
		{"configuration malformed", func(t *testing.T, w *world, home string) { write(t, filepath.Join(home, own), "[profiles.a\n") },
			doctor.Failing, "config.toml:1", "correct it"},
		{"unknown key", func(t *testing.T, w *world, home string) {
			rewrite(t, filepath.Join(home, own), "client_id", "clientid")
		}, doctor.Failing, `did you mean "client_id"`, "correct it"},
		{"configuration open to others", func(t *testing.T, w *world, home string) { chmod(t, filepath.Join(home, own), 0o666) },
			doctor.Failing, "may be written by others", "chmod go-w"},
		{"one host in two profiles", func(t *testing.T, w *world, home string) {
			write(t, filepath.Join(home, own), "[profiles.a]\nissuer=\"https://a.dev\"\nclient_id=\"x\"\nhosts=[\"git.a.dev\"]\n[profiles.b]\nissuer=\"https://b.dev\"\nclient_id=\"x\"\nhosts=[\"git.a.dev\"]\n")
		}, doctor.Failing, "belongs to profile", "correct it"},
		{"unknown store", func(t *testing.T, w *world, home string) { t.Setenv("CLERK_HELPER_STORE", "cellar") },
			doctor.Failing, `unknown store "cellar"`, "CLERK_HELPER_STORE is"},
		{"store switched off", func(t *testing.T, w *world, home string) { t.Setenv("CLERK_HELPER_STORE", "none") },
			doctor.Doubt, "switched off", "unset CLERK_HELPER_STORE"},
		{"store open to others", func(t *testing.T, w *world, home string) {
			folder := filepath.Join(home, ".local/state/clerk-credential-helper")
			if err := os.MkdirAll(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			chmod(t, folder, 0o755)
		}, doctor.Failing, "is open to others", "chmod 0700"},
		{"a file in the store's place", func(t *testing.T, w *world, home string) {
			write(t, filepath.Join(home, ".local/state/clerk-credential-helper"), "mine")
		}, doctor.Failing, "is not a folder", "move away"},
		{"issuer down", func(t *testing.T, w *world, home string) {
			rewrite(t, filepath.Join(home, own), os.Getenv("ISSUER"), "http://127.0.0.1:1")
		}, doctor.Failing, "does not answer as an issuer", "Frontend API URL"},
		{"not an issuer", func(t *testing.T, w *world, home string) {
			w.Clerk.SetFaults(func(f *sandbox.Faults) { f.DiscoveryStatus = http.StatusServiceUnavailable })
		}, doctor.Failing, "status 503", "Frontend API URL"},
		{"issuer of another name", func(t *testing.T, w *world, home string) {
			w.Clerk.SetFaults(func(f *sandbox.Faults) { f.Discovery = map[string]any{"issuer": "https://other.dev"} })
		}, doctor.Failing, `calls itself "https://other.dev"`, "as it calls itself"},
		{"no PKCE", func(t *testing.T, w *world, home string) {
			w.Clerk.SetFaults(func(f *sandbox.Faults) {
				f.Discovery = map[string]any{"code_challenge_methods_supported": []string{"plain"}}
			})
		}, doctor.Failing, "PKCE", "administrator"},
		{"foreign token endpoint", func(t *testing.T, w *world, home string) {
			w.Clerk.SetFaults(func(f *sandbox.Faults) { f.ForeignTokenEndpoint = "https://evil.example/token" })
		}, doctor.Failing, "evil.example", "never sent elsewhere"},
		{"no keys", func(t *testing.T, w *world, home string) {
			w.Clerk.SetFaults(func(f *sandbox.Faults) { f.JWKSDown = true })
		}, doctor.Failing, "gives no keys", "try again later"},
		{"clock wrong", func(t *testing.T, w *world, home string) {
			slow := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Date", time.Now().Add(-6*time.Minute).UTC().Format(http.TimeFormat))
				w.Clerk.ServeHTTP(rw, r)
			}))
			t.Cleanup(slow.Close)
			rewrite(t, filepath.Join(home, own), os.Getenv("ISSUER"), slow.URL)
			w.Clerk.SetIssuer(slow.URL)
		}, doctor.Failing, "differs from the issuer's by 6m", "set the clock"},
		{"clock not quite right", func(t *testing.T, w *world, home string) {
			slow := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Date", time.Now().Add(-3*time.Minute).UTC().Format(http.TimeFormat))
				w.Clerk.ServeHTTP(rw, r)
			}))
			t.Cleanup(slow.Close)
			rewrite(t, filepath.Join(home, own), os.Getenv("ISSUER"), slow.URL)
			w.Clerk.SetIssuer(slow.URL)
		}, doctor.Doubt, "differs from the issuer's by 3m", "beyond 5m0s sign-ins are refused"},
		{"a proxy of another kind", func(t *testing.T, w *world, home string) { t.Setenv("HTTPS_PROXY", "socks4://u:secret@proxy:1080") },
			doctor.Failing, "HTTPS_PROXY is not the address", "unset"},
		{"ca_file missing", func(t *testing.T, w *world, home string) {
			rewrite(t, filepath.Join(home, own), "client_id", "ca_file = \"/nowhere/ca.pem\"\nclient_id")
		}, doctor.Failing, "/nowhere/ca.pem", "correct ca_file"},
		{"proxy malformed", func(t *testing.T, w *world, home string) { t.Setenv("HTTPS_PROXY", "http://u:secret@[proxy:3128") },
			doctor.Failing, "HTTPS_PROXY is not the address", "unset"},
		{"injected secret key", func(t *testing.T, w *world, home string) { t.Setenv("CLERK_HELPER_TOKEN", "sk_live_secret") },
			doctor.Failing, "is a secret key", "unset"},
		{"injected twice", func(t *testing.T, w *world, home string) {
			t.Setenv("CLERK_HELPER_TOKEN", "ak_1")
			t.Setenv("CLERK_HELPER_TOKEN_FILE", "/x")
		}, doctor.Failing, "both set", "keep one"},
		{"injected and expired", func(t *testing.T, w *world, home string) {
			// {"alg":"RS256"} . {"iss":ISSUER,"exp":1}
			t.Setenv("CLERK_HELPER_TOKEN", oldToken(os.Getenv("ISSUER")))
		}, doctor.Failing, "expired at 1970", "unset"},
		{"sign-in switched off", func(t *testing.T, w *world, home string) { t.Setenv("CLERK_HELPER_INTERACTIVE", "never") },
			doctor.Doubt, "you are never asked", "unset"},
		{"interactive misspelt", func(t *testing.T, w *world, home string) { t.Setenv("CLERK_HELPER_INTERACTIVE", "yes") },
			doctor.Failing, `CLERK_HELPER_INTERACTIVE is "yes"`, "auto, always or never"},
		{"browser missing", func(t *testing.T, w *world, home string) { t.Setenv("BROWSER", "/nowhere/firefox") },
			doctor.Doubt, "/nowhere/firefox", "correct BROWSER"},
		{"nowhere to sign in", func(t *testing.T, w *world, home string) { t.Setenv("BROWSER", "") },
			doctor.Doubt, "", "login in a terminal"},
		{"not in the PATH", func(t *testing.T, w *world, home string) { t.Setenv("PATH", "/usr/bin:/bin") },
			doctor.Failing, "git-credential-clerk is not in the PATH", "install.sh"},
		{"another program of our name", func(t *testing.T, w *world, home string) {
			bin := filepath.Join(home, "other")
			write(t, filepath.Join(bin, "docker-credential-clerk"), "#!/bin/sh\n")
			chmod(t, filepath.Join(bin, "docker-credential-clerk"), 0o755)
			t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
		}, doctor.Failing, "another program than this one", "remove the older one"},
		{"git was not told", func(t *testing.T, w *world, home string) { os.Remove(filepath.Join(home, ".gitconfig")) },
			doctor.Doubt, "does not ask us for any host", "setup git"},
		{"git keeps our token", func(t *testing.T, w *world, home string) {
			write(t, filepath.Join(home, ".gitconfig"), "[credential]\n\thelper = clerk\n\thelper = store\n")
		}, doctor.Failing, "also asks store, and gives it our token", "setup git"},
		{"git has kept our token", func(t *testing.T, w *world, home string) {
			write(t, filepath.Join(home, ".git-credentials"), "https://a:b@github.com\nhttps://clerk:ey@git.acme.dev\n")
		}, doctor.Doubt, "git.acme.dev in the clear", "remove that line"},
		{"git asks for another user", func(t *testing.T, w *world, home string) {
			write(t, filepath.Join(home, ".gitconfig"), "[credential]\n\thelper =\n\thelper = clerk\n[credential \"https://git.acme.dev\"]\n\tusername = robot\n")
		}, doctor.Doubt, `the user "robot"`, "--unset credential.https://git.acme.dev.username"},
		{"git's file malformed", func(t *testing.T, w *world, home string) { write(t, filepath.Join(home, ".gitconfig"), "[user\n") },
			doctor.Failing, "bad config line 1", "fix the file"},
		{"docker was not told", func(t *testing.T, w *world, home string) { write(t, filepath.Join(home, ".docker/config.json"), "{}") },
			doctor.Doubt, "does not ask us for any registry", "setup docker"},
		{"docker's file malformed", func(t *testing.T, w *world, home string) {
			write(t, filepath.Join(home, ".docker/config.json"), "{\n,}")
		},
			doctor.Failing, "config.json: line 2", "fix that line"},
		{"docker has a password", func(t *testing.T, w *world, home string) {
			write(t, filepath.Join(home, ".docker/config.json"), `{"auths":{"registry.acme.dev":{"auth":"YTpi"}},"credsStore":"clerk"}`)
		}, doctor.Doubt, "password for registry.acme.dev in the clear", "docker logout registry.acme.dev"},
		{"docker asks another helper", func(t *testing.T, w *world, home string) {
			write(t, filepath.Join(home, ".docker/config.json"), `{"credHelpers":{"registry.acme.dev":"ecr-login"},"credsStore":"clerk"}`)
		}, doctor.Doubt, `it asks "ecr-login"`, "remove that line"},
		{"docker believes a variable", func(t *testing.T, w *world, home string) { t.Setenv("DOCKER_AUTH_CONFIG", "{}") },
			doctor.Doubt, "asks no helper", "unset DOCKER_AUTH_CONFIG"},
		{"cargo's file malformed", func(t *testing.T, w *world, home string) {
			write(t, filepath.Join(home, ".cargo/config.toml"), "[registry]\nglobal-credential-providers = [\"cargo-credential-clerk\"\n")
		}, doctor.Doubt, "config.toml: line", "cargo cannot read it either"},
		{"bazel calls a program that is not there", func(t *testing.T, w *world, home string) {
			write(t, filepath.Join(home, ".bazelrc"), "common --credential_helper=git.acme.dev=bazel-credential-clerk\n")
			first, _, _ := strings.Cut(os.Getenv("PATH"), string(filepath.ListSeparator))
			t.Setenv("PATH", first+string(filepath.ListSeparator)+"/usr/bin:/bin")
		}, doctor.Failing, "call bazel-credential-clerk, which is not in the PATH", "install.sh"},
		{"fallback missing", func(t *testing.T, w *world, home string) {
			rewrite(t, filepath.Join(home, own), "[profiles", "[docker]\nfallback = \"nowhere\"\n[profiles")
		}, doctor.Failing, `the fallback "nowhere"`, "correct fallback"},
		{"a sign-in was refused", func(t *testing.T, w *world, home string) {
			w.Clerk.SetFaults(func(f *sandbox.Faults) { f.DenyConsent = true })
			runHere("token")
		}, doctor.Doubt, "access was denied", "login acme"},
		{"signed out", func(t *testing.T, w *world, home string) { runHere("login"); runHere("logout") },
			doctor.Doubt, "you signed out", "login acme"},
		{"signed out, and a sign-in was refused since", func(t *testing.T, w *world, home string) {
			runHere("login")
			runHere("logout")
			w.Clerk.SetFaults(func(f *sandbox.Faults) { f.DenyConsent = true })
			runHere("login")
		}, doctor.Doubt, "you signed out; tools do not ask; the last sign-in came to nothing (access was denied", "login acme"},
		{"no refresh token", func(t *testing.T, w *world, home string) {
			w.Clerk.SetFaults(func(f *sandbox.Faults) { f.OmitRefreshToken = true })
			runHere("login")
		}, doctor.Doubt, "no refresh token", "offline_access"},
		{"machine without a key", func(t *testing.T, w *world, home string) {
			rewrite(t, filepath.Join(home, own), "client_id = \"sandbox-client\"", "machine = true")
		}, doctor.Failing, "CLERK_MACHINE_SECRET_KEY is not set, nor is CLERK_MACHINE_SECRET_KEY_ACME", "secret key of the machine"},
		{"machine whose key Clerk refuses", func(t *testing.T, w *world, home string) {
			rewrite(t, filepath.Join(home, own), "client_id = \"sandbox-client\"", "machine = true")
			t.Setenv("CLERK_API_URL", os.Getenv("ISSUER"))
			t.Setenv("CLERK_MACHINE_SECRET_KEY", "ak_wrong")
		}, doctor.Failing, "Clerk refuses the key in CLERK_MACHINE_SECRET_KEY", "set CLERK_MACHINE_SECRET_KEY to the secret key of a machine (ak_...)"},
		{"machine whose key is not asked about, in CI, without a network", func(t *testing.T, w *world, home string) {
			rewrite(t, filepath.Join(home, own), "client_id = \"sandbox-client\"", "machine = true")
			t.Setenv("CI", "true")
			t.Setenv("CLERK_API_URL", "http://127.0.0.1:1")
			t.Setenv("CLERK_MACHINE_SECRET_KEY_ACME", sandbox.MachineKey)
		}, doctor.Failing, "getting a machine's token for profile \"acme\": machine token endpoint", "CLERK_API_URL"},
		{"machine of another instance than the profile's", func(t *testing.T, w *world, home string) {
			rival := sandbox.New(sandbox.Options{Auto: true})
			other := httptest.NewServer(rival)
			t.Cleanup(other.Close)
			rival.SetIssuer(other.URL)
			rewrite(t, filepath.Join(home, own), "client_id = \"sandbox-client\"", "machine = true")
			t.Setenv("CLERK_API_URL", other.URL)
			t.Setenv("CLERK_MACHINE_SECRET_KEY", sandbox.MachineKey)
		}, doctor.Failing, "machine token endpoint: the token was issued by", "the machine must be of that Clerk instance"},
		{"machine whose key is a log's mask", func(t *testing.T, w *world, home string) {
			rewrite(t, filepath.Join(home, own), "client_id = \"sandbox-client\"", "machine = true")
			t.Setenv("CLERK_MACHINE_SECRET_KEY", "***")
		}, doctor.Failing, "the one in CLERK_MACHINE_SECRET_KEY is a log's mask", "secret key of the machine"},
		{"a machine's key for people", func(t *testing.T, w *world, home string) { t.Setenv("CLERK_MACHINE_SECRET_KEY", sandbox.MachineKey) },
			doctor.Doubt, "CLERK_MACHINE_SECRET_KEY is set, and not used: profile \"acme\"", "machine = true"},
		{"machines of two issuers and one key", func(t *testing.T, w *world, home string) {
			rewrite(t, filepath.Join(home, own), "client_id = \"sandbox-client\"", "machine = true")
			rewrite(t, filepath.Join(home, own), "[profiles.acme]", "[profiles.rival]\nissuer = \"https://clerk.rival.dev\"\nmachine = true\nhosts = [\"git.rival.dev\"]\n\n[profiles.acme]")
			t.Setenv("CLERK_MACHINE_SECRET_KEY", "ak_1")
		}, doctor.Failing, "CLERK_MACHINE_SECRET_KEY could be for any of the profiles rival, acme", "set CLERK_MACHINE_SECRET_KEY_RIVAL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, home := wellSetUp(t)
			tt.broken(t, w, home)
			status, out, words := runHere("doctor", "--json")
			if want := map[doctor.State]int{doctor.Doubt: exitOK, doctor.Failing: exitFailed}[tt.state]; status != want {
				t.Errorf("exit status %d, not %d\n%s%s", status, want, out, words)
			}
			var report doctor.Report
			if err := json.Unmarshal([]byte(out), &report); err != nil || report.State != tt.state {
				t.Fatal(err)
			}
			for _, f := range report.Checks {
				if f.State == tt.state && strings.Contains(f.Detail, tt.detail) && strings.Contains(f.Remedy, tt.remedy) {
					if strings.Contains(out+words, "secret@") || strings.Contains(out+words, "sk_live") {
						t.Errorf("a secret is shown: %s%s", out, words)
					}
					return
				}
			}
			t.Errorf("it was not found:\n%s%s", out, words)
		})
	}
}
