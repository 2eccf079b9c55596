package testworld

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"clerk-credential-helper/internal/sandbox"

	"golang.org/x/net/webdav"
)

// toolServer serves a package, an API or a folder for each tool, below a path of its own, to clients with an access token of
// s, in the scheme of this kind of server. What real servers give without a token, it gives too.
func toolServer(s *sandbox.Server) http.Handler {
	mux := http.NewServeMux()
	protect := func(scheme, challenge, pattern string, h http.HandlerFunc) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			if scheme == "Basic" {
				_, token, ok = r.BasicAuth()
			}
			person, err := s.Verify(token)
			if !ok || err != nil {
				w.Header().Set("WWW-Authenticate", challenge)
				http.Error(w, "sign in first", http.StatusUnauthorized)
				return
			}
			r.Header.Set("X-Person", person.Email)
			h(w, r)
		})
	}
	const bearer, basic = `Bearer realm="acme"`, `Basic realm="acme"`
	text := func(format string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, strings.ReplaceAll(format, "HOST", r.Host))
		}
	}

	// A Go module proxy, with Bearer and with Basic (go.dev/ref/mod, "GOPROXY protocol").
	for path, scheme := range map[string]string{"/go/": "Bearer", "/go-basic/": "Basic"} {
		base := path + "acme.dev/hello/@v/"
		challenge := scheme + ` realm="acme"`
		protect(scheme, challenge, "GET "+base+"list", text("v1.0.0\n"))
		protect(scheme, challenge, "GET "+base+"v1.0.0.info", text(`{"Version":"v1.0.0","Time":"2026-01-01T00:00:00Z"}`))
		protect(scheme, challenge, "GET "+base+"v1.0.0.mod", text("module acme.dev/hello\n"))
		protect(scheme, challenge, "GET "+base+"v1.0.0.zip", content(zipped(map[string]string{
			"acme.dev/hello@v1.0.0/go.mod": "module acme.dev/hello\n", "acme.dev/hello@v1.0.0/hello.go": "package hello\n"})))
	}

	// A sparse index of cargo's that wants a token for everything (The Cargo Book, "Registry Index").
	crate := tarred(map[string]string{
		"hello-1.0.0/Cargo.toml": "[package]\nname = \"hello\"\nversion = \"1.0.0\"\nedition = \"2021\"\n", "hello-1.0.0/src/lib.rs": ""})
	sum := sha256.Sum256(crate)
	challenge := `Cargo login_url="https://acme.dev/me"`
	protect("Bearer", challenge, "GET /cargo/config.json", text(`{"dl":"https://HOST/cargo/dl","api":"https://HOST/cargo","auth-required":true}`))
	protect("Bearer", challenge, "GET /cargo/he/ll/hello", text(fmt.Sprintf(
		`{"name":"hello","vers":"1.0.0","deps":[],"cksum":%q,"features":{},"yanked":false}`+"\n", hex.EncodeToString(sum[:]))))
	protect("Bearer", challenge, "GET /cargo/dl/hello/1.0.0/download", content(crate))

	// A Kubernetes API server.
	protect("Bearer", bearer, "GET /api/v1/namespaces", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"kind":"NamespaceList","apiVersion":"v1","metadata":{},"items":[{"metadata":{"name":"platform"}}]}`)
	})

	// A registry of Terraform modules (developer.hashicorp.com, "Module Registry Protocol"). The archive is free, since
	// Terraform fetches it without a token.
	protect("Bearer", bearer, "GET /terraform/acme/hello/null/versions", text(`{"modules":[{"versions":[{"version":"1.0.0"}]}]}`))
	protect("Bearer", bearer, "GET /terraform/acme/hello/null/1.0.0/download", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Terraform-Get", "https://"+r.Host+"/terraform.tar.gz")
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /terraform.tar.gz", content(tarred(map[string]string{"main.tf": "output \"hello\" {\n  value = \"hello\"\n}\n"})))

	// A package index of Python's (packaging.python.org, "Simple repository API").
	const wheel = "hello-1.0-py3-none-any.whl"
	protect("Basic", basic, "GET /pypi/simple/hello/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, "<!DOCTYPE html><html><body><a href=\"../../%[1]s\">%[1]s</a></body></html>", wheel)
	})
	protect("Basic", basic, "GET /pypi/"+wheel, content(zipped(map[string]string{
		"hello.py":                     "",
		"hello-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: hello\nVersion: 1.0\n",
		"hello-1.0.dist-info/WHEEL":    "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
		"hello-1.0.dist-info/RECORD":   "",
	})))

	// An npm registry.
	archive := tarred(map[string]string{"package/package.json": `{"name":"hello","version":"1.0.0"}`})
	shasum := sha1.Sum(archive)
	protect("Bearer", bearer, "GET /npm/hello", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"name":"hello","dist-tags":{"latest":"1.0.0"},"time":{"1.0.0":"2026-01-01T00:00:00Z"},"versions":{"1.0.0":{"name":"hello","version":"1.0.0",`+
			`"dist":{"tarball":"https://%s/npm/hello/-/hello-1.0.0.tgz","shasum":%q}}}}`, r.Host, hex.EncodeToString(shasum[:]))
	})
	protect("Bearer", bearer, "GET /npm/hello/-/hello-1.0.0.tgz", content(archive))

	// An API, for curl and for the headers of MCP clients.
	protect("Bearer", bearer, "GET /api/me", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, r.Header.Get("X-Person"))
	})
	protect("Basic", basic, "GET /basic/me", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, r.Header.Get("X-Person"))
	})

	// A WebDAV folder.
	dav := &webdav.Handler{Prefix: "/dav", FileSystem: webdav.NewMemFS(), LockSystem: webdav.NewMemLS()}
	protect("Bearer", bearer, "/dav/", dav.ServeHTTP)

	// git-lfs (github.com/git-lfs/git-lfs, docs/api), with Basic and with Bearer: one object, "large\n".
	large := sha256.Sum256([]byte("large\n"))
	object := hex.EncodeToString(large[:])
	for path, challenge := range map[string]string{"/lfs/": basic, "/lfs-bearer/": bearer} {
		scheme, _, _ := strings.Cut(challenge, " ")
		protect(scheme, challenge, "POST "+path+"objects/batch", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/vnd.git-lfs+json")
			json.NewEncoder(w).Encode(map[string]any{"transfer": "basic", "objects": []any{map[string]any{
				"oid": object, "size": 6, "actions": map[string]any{"download": map[string]any{"href": "https://" + r.Host + path + object}}}}})
		})
		protect(scheme, challenge, "GET "+path+object, content([]byte("large\n")))
	}
	return mux
}

func content(data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.Write(data) }
}

func zipped(files map[string]string) []byte {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for name, text := range files {
		w, _ := z.Create(name) // nothing can go wrong in memory
		io.WriteString(w, text)
	}
	z.Close()
	return out.Bytes()
}

func tarred(files map[string]string) []byte {
	var out bytes.Buffer
	g := gzip.NewWriter(&out)
	t := tar.NewWriter(g)
	for name, text := range files {
		t.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg})
		io.WriteString(t, text)
	}
	t.Close()
	g.Close()
	return out.Bytes()
}
