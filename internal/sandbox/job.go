package sandbox

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange" // RFC 8693 §2.1
	exchangedLife = 15 * time.Minute
	jobTokenLife  = time.Hour // GitLab's is the job's time limit
)

// CI is a stand-in for a CI, which signs tokens for its jobs. A job asks for one at RequestURL with its request token:
// by GET with the audience that it chooses, as in GitHub Actions, or by POST, as in Azure Pipelines.
type CI struct {
	server *Server
	origin string
	key    func() (*rsa.PrivateKey, error)
	mux    *http.ServeMux

	mu   sync.Mutex
	jobs map[string]*Job // by their request tokens
}

// Job is a job of a CI.
type Job struct {
	*CI
	// RequestToken is what the job asks for tokens with.
	RequestToken string

	claims map[string]any
	asked  int
}

// CI makes a stand-in for a CI of the origin at which it is served.
func (s *Server) CI(origin string) *CI {
	ci := &CI{server: s, origin: origin, mux: http.NewServeMux(), jobs: map[string]*Job{},
		key: sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })}
	ci.mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"issuer": origin, "jwks_uri": origin + "/.well-known/jwks",
			"id_token_signing_alg_values_supported": []string{"RS256"}})
	})
	ci.mux.HandleFunc("GET /.well-known/jwks", func(w http.ResponseWriter, _ *http.Request) {
		key, err := ci.key()
		if err != nil {
			writeError(w, err)
			return
		}
		writeJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "job", Algorithm: "RS256", Use: "sig"}}})
	})
	ci.mux.HandleFunc("GET /job/token", ci.serveToken)
	ci.mux.HandleFunc("POST /job/token", ci.serveToken)
	return ci
}

// Job starts a job with these claims, beside those that every token has.
func (ci *CI) Job(claims map[string]any) *Job {
	job := &Job{CI: ci, RequestToken: "sandbox-job-" + rand.Text(), claims: claims}
	ci.mu.Lock()
	ci.jobs[job.RequestToken] = job
	ci.mu.Unlock()
	ci.server.mu.Lock()
	defer ci.server.mu.Unlock()
	ci.server.note(job.RequestToken)
	return job
}

// RequestURL is where a job asks for a token.
func (ci *CI) RequestURL() string { return ci.origin + "/job/token?api-version=2.0" }

// Asked is how many tokens the job has asked for at RequestURL.
func (j *Job) Asked() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.asked
}

// ServeHTTP answers as the CI does.
func (ci *CI) ServeHTTP(w http.ResponseWriter, r *http.Request) { ci.mux.ServeHTTP(w, r) }

func (ci *CI) serveToken(w http.ResponseWriter, r *http.Request) {
	ci.mu.Lock()
	job := ci.jobs[bearer(r)]
	if job != nil {
		job.asked++
	}
	ci.mu.Unlock()
	if job == nil {
		http.Error(w, "not a job of ours", http.StatusUnauthorized)
		return
	}
	audience, member := r.URL.Query().Get("audience"), "value"
	if r.Method == http.MethodPost {
		audience, member = azureAudience, "oidcToken"
	}
	token, err := job.Token(audience)
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{member: token})
}

// Token signs a token of the job for an audience.
func (j *Job) Token(audience string) (string, error) {
	now := j.server.now()
	aud := any(audience)
	if j.claims["repositoryUuid"] != nil || j.claims["kubernetes.io"] != nil { // these CIs write a list of one
		aud = []string{audience}
	}
	claims := map[string]any{"iss": j.origin, "aud": aud, "jti": rand.Text(), "iat": now.Unix(), "nbf": now.Unix(),
		"exp": now.Add(jobTokenLife).Unix()}
	maps.Copy(claims, j.claims)
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encoding claims: %w", err)
	}
	key, err := j.key()
	if err != nil {
		return "", fmt.Errorf("making a key: %w", err)
	}
	token, err := signJWT(key, "job", "JWT", payload)
	if err != nil {
		return "", err
	}
	j.server.mu.Lock()
	defer j.server.mu.Unlock()
	return j.server.note(token), nil
}

// JobKind is what a CI says of a job on the branch main of a repository, as its documentation has it.
type JobKind struct {
	CI     string // its name
	Claims map[string]any
	// Named are the names of those claims that a policy would name.
	Named []string
	// Audience is the one that the CI chooses, empty where the job does.
	Audience string
}

const azureAudience = "api://AzureADTokenExchange"

// JobKinds returns the kinds of the CIs that the helper knows, for a repository such as "acme/app". The numbers and ids
// in it are made of the name: those of two repositories differ.
func JobKinds(repository string) []JobKind {
	owner, name, _ := strings.Cut(repository, "/")
	sum := sha256.Sum256([]byte(repository))
	number := strconv.Itoa(int(sum[0])<<16 | int(sum[1])<<8 | int(sum[2]))
	uuid := fmt.Sprintf("%x-%x-4%x-8%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])[:36]
	return []JobKind{
		{"GitHub Actions", map[string]any{
			"sub": "repo:" + repository + ":ref:refs/heads/main", "repository": repository, "repository_id": number, "repository_owner": owner,
			"repository_owner_id": number, "repository_visibility": "private", "ref": "refs/heads/main", "ref_type": "branch",
			"ref_protected": "true", "event_name": "push", "head_ref": "", "base_ref": "", "actor": "ada", "actor_id": "1", "run_id": "1",
			"run_number": "1", "run_attempt": "1", "runner_environment": "self-hosted", "sha": strings.Repeat("a", 40), "workflow": "build",
			"workflow_ref":     repository + "/.github/workflows/build.yml@refs/heads/main",
			"job_workflow_ref": repository + "/.github/workflows/build.yml@refs/heads/main",
		}, []string{"repository", "repository_id", "ref"}, ""},
		{"GitLab", map[string]any{
			"sub": "project_path:" + repository + ":ref_type:branch:ref:main", "namespace_id": number, "namespace_path": owner,
			"project_id": number, "project_path": repository, "user_id": "1", "user_login": "ada", "user_email": "ada@acme.dev",
			"pipeline_id": "1", "pipeline_source": "push", "job_id": "1", "ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main",
			"ref_protected": "true", "runner_id": 1, "runner_environment": "self-hosted", "sha": strings.Repeat("a", 40),
		}, []string{"project_path", "project_id", "ref_type", "ref"}, ""},
		{"CircleCI", map[string]any{
			"sub": "org/" + uuid + "/project/" + uuid + "/user/" + uuid, "oidc.circleci.com/project-id": uuid,
			"oidc.circleci.com/vcs-origin": "github.com/" + repository, "oidc.circleci.com/vcs-ref": "refs/heads/main",
			"oidc.circleci.com/ssh-rerun": false, "oidc.circleci.com/context-ids": []string{},
		}, []string{"oidc.circleci.com/project-id", "oidc.circleci.com/vcs-origin", "oidc.circleci.com/vcs-ref"}, ""},
		{"Bitbucket Pipelines", map[string]any{
			"sub": "{" + uuid + "}:{" + uuid + "}", "repositoryUuid": "{" + uuid + "}", "workspaceUuid": "{" + uuid + "}",
			"pipelineUuid": "{" + uuid + "}", "stepUuid": "{" + uuid + "}", "branchName": "main", "deploymentEnvironmentUuid": "{" + uuid + "}",
		}, []string{"repositoryUuid", "deploymentEnvironmentUuid"}, ""},
		{"Azure Pipelines", map[string]any{
			"sub": "p://" + owner + "/" + name + "/build", "org_id": uuid, "prj_id": uuid, "def_id": "1", "rpo_id": uuid,
			"rpo_uri": "https://dev.azure.com/" + repository, "rpo_ref": "refs/heads/main", "rpo_ver": strings.Repeat("a", 40), "run_id": "1",
		}, []string{"prj_id", "rpo_id", "rpo_ref"}, azureAudience},
		{"Buildkite", map[string]any{
			"sub": "organization:" + owner + ":pipeline:" + name + ":ref:refs/heads/main:commit:" + strings.Repeat("a", 40) + ":step:build", "organization_slug": owner,
			"pipeline_slug": name, "build_number": 1, "build_branch": "main", "build_commit": strings.Repeat("a", 40), "step_key": "build",
			"job_id": uuid, "agent_id": uuid,
		}, []string{"organization_slug", "pipeline_slug", "build_branch"}, ""},
		{"Kubernetes", map[string]any{
			"sub":           "system:serviceaccount:" + owner + ":" + name,
			"kubernetes.io": map[string]any{"namespace": owner, "serviceaccount": map[string]any{"name": name, "uid": uuid}},
		}, []string{"sub"}, ""},
		{"SPIFFE", map[string]any{"sub": "spiffe://acme.dev/ns/" + owner + "/sa/" + name}, []string{"sub"}, ""},
	}
}

// trust is what a companion page's policy says of the jobs of a CI.
type trust struct {
	ci       *CI
	audience string
	claims   map[string]any
}

// Trust has the companion page exchange tokens of the CI's jobs that are of this kind. It may be called again.
func (c *Companion) Trust(ci *CI, kind JobKind) {
	t := trust{ci, cmp.Or(kind.Audience, c.origin), map[string]any{}}
	for _, name := range kind.Named {
		t.claims[name] = kind.Claims[name]
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trusted = append(c.trusted, t)
}

// exchange answers a token exchange (RFC 8693 §2). c.mu is held.
func (c *Companion) exchange(form url.Values) (map[string]any, error) {
	bad := func(why string) error { return refuse(http.StatusBadRequest, "invalid_grant", why) }
	if c.trusted == nil {
		return nil, refuse(http.StatusBadRequest, "unsupported_grant_type", "the grant type is not known")
	}
	if form.Get("subject_token_type") != "urn:ietf:params:oauth:token-type:jwt" {
		return nil, refuse(http.StatusBadRequest, "invalid_request", "the subject token is of another type")
	}
	signed, err := jose.ParseSignedCompact(form.Get("subject_token"), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return nil, bad("the subject token is not a JWT")
	}
	why := "the subject token is of no issuer of the policy"
	fits := func(t trust) bool {
		key, err := t.ci.key()
		if err != nil {
			return false
		}
		payload, err := signed.Verify(&key.PublicKey)
		var said map[string]any
		if err != nil || json.Unmarshal(payload, &said) != nil || said["iss"] != t.ci.origin {
			return false
		}
		end, ok := said["exp"].(float64)
		if list, ok := said["aud"].([]any); ok && len(list) == 1 {
			said["aud"] = list[0]
		}
		for name, value := range t.claims {
			if said[name] != value {
				why = "no policy allows this job"
				return false
			}
		}
		switch {
		case said["aud"] != t.audience:
			why = "the subject token is for another page"
		case !ok || int64(end) <= c.server.now().Unix():
			why = "the subject token has expired"
		default:
			return true
		}
		return false
	}
	if !slices.ContainsFunc(c.trusted, fits) {
		return nil, bad(why)
	}
	token, _, _, _, err := c.server.mint("jwt", exchangedLife)
	if err != nil {
		return nil, err
	}
	return map[string]any{"access_token": token, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
		"token_type": "Bearer", "expires_in": int64(exchangedLife / time.Second)}, nil
}
