package windows

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"

	"clerk-credential-helper/internal/sandbox"
)

// pushed is a registry with one repository, demo/pushed, which everyone with an access token may read and write (Open Container
// Initiative, "Distribution Specification", 1.1: pull, push in a POST and a PUT). All else is read-only's.
type pushed struct {
	clerk    *sandbox.Server
	readOnly http.Handler

	mu     sync.Mutex
	things map[string]thing // blobs and manifests, by kind and digest or tag
}

type thing struct {
	kind string // Content-Type
	data []byte
}

func newPushed(clerk *sandbox.Server) http.Handler {
	p := &pushed{clerk: clerk, readOnly: clerk.Registry(sandbox.RegistryBasic), things: map[string]thing{}}
	mux := http.NewServeMux()
	mux.Handle("/", p.readOnly)
	const repository = "/v2/demo/pushed/"
	for pattern, answer := range map[string]http.HandlerFunc{
		"POST " + repository + "blobs/uploads/{$}": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", repository+"blobs/uploads/1")
			w.WriteHeader(http.StatusAccepted)
		},
		"PUT " + repository + "blobs/uploads/1": func(w http.ResponseWriter, r *http.Request) {
			p.keep(w, r, "blobs", r.URL.Query().Get("digest"))
		},
		"PUT " + repository + "manifests/{reference}": func(w http.ResponseWriter, r *http.Request) {
			p.keep(w, r, "manifests", r.PathValue("reference"))
		},
		"GET " + repository + "{kind}/{reference}": p.give,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			_, password, _ := r.BasicAuth()
			if _, err := p.clerk.Verify(password); err != nil {
				w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
				http.Error(w, err.Error(), http.StatusUnauthorized)
				return
			}
			answer(w, r)
		})
	}
	return mux
}

// keep stores a blob or a manifest, by its digest and by the tag that it is given.
func (p *pushed) keep(w http.ResponseWriter, r *http.Request, kind, reference string) {
	data, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(data))
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range []string{digest, reference} {
		p.things[kind+"/"+name] = thing{r.Header.Get("Content-Type"), data}
	}
	w.Header().Set("Docker-Content-Digest", digest)
	w.Header().Set("Location", "/v2/demo/pushed/"+kind+"/"+digest)
	w.WriteHeader(http.StatusCreated)
}

// give answers GET and HEAD.
func (p *pushed) give(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found, ok := p.things[r.PathValue("kind")+"/"+r.PathValue("reference")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", found.kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(found.data)))
	w.Header().Set("Docker-Content-Digest", fmt.Sprintf("sha256:%x", sha256.Sum256(found.data)))
	w.Write(found.data)
}
