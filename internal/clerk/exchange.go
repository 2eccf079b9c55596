package clerk

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"clerk-credential-helper/internal/config"
)

// ErrNoExchange means that a companion page exchanges no tokens of CI jobs.
var ErrNoExchange = errors.New("the companion page exchanges no tokens of CI jobs: its lib/cli-auth/ci.ts has no policy")

// The words of a token exchange (RFC 8693 §2.1, §3).
const (
	grantExchange   = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeJWT         = "urn:ietf:params:oauth:token-type:jwt"
	typeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
)

const (
	// maxJobToken bounds the token of a CI job, in bytes.
	maxJobToken = 16 << 10
	// exchangedLife is the longest life of a token that a companion page gives to a job.
	exchangedLife = time.Hour
)

// jobExchange gets a token for a CI job: its CI signs one for the companion page, which gives one of Clerk's for it.
type jobExchange struct {
	*Client
	p   *config.Profile
	job config.Job
}

// recheck is how old kept metadata without the grant is before the page is asked whether it has a policy now.
const recheck = 5 * time.Minute

// run returns the tokens, also with an error those of the job's claims that were sent. A page may take a job's token once only;
// GitHub Actions signs another one at each request.
//
// Errors: ErrNoExchange, a *ResponseError, or an error of the network or of the check of the metadata.
func (e jobExchange) run(ctx context.Context) (Tokens, error) {
	_, age, kept := shelf{e.Client, e.p}.read(ctx)
	page, err := e.endpoints(ctx, e.p)
	if err == nil && kept && age > recheck && !slices.Contains(page.Grants, grantExchange) { // there may be a policy since
		page, err = e.discover(ctx, e.p)
	}
	if err != nil {
		return Tokens{}, err
	}
	if !slices.Contains(page.Grants, grantExchange) {
		return Tokens{}, ErrNoExchange
	}
	subject, err := e.subjectToken(ctx)
	if err != nil {
		return Tokens{}, err
	}
	sent := claimsOf(subject)
	t, err := e.exchange(ctx, page, subject)
	t.Claims = sent
	return t, err
}

// exchange asks the page for a token of Clerk's for a job's own.
func (e jobExchange) exchange(ctx context.Context, page *metadata, subject string) (Tokens, error) {
	form := url.Values{
		"grant_type":           {grantExchange},
		"client_id":            {e.p.ClientID},
		"subject_token":        {subject},
		"subject_token_type":   {typeJWT},
		"requested_token_type": {typeAccessToken},
	}
	req, err := formRequest(ctx, page.Token, form)
	if err != nil {
		return Tokens{}, fmt.Errorf("exchange: %w", err)
	}
	received := e.now()
	var answer struct {
		Token     string `json:"access_token"`
		Issued    string `json:"issued_token_type"`
		Type      string `json:"token_type"`
		ExpiresIn int64  `json:"expires_in"` // seconds
	}
	err = e.fetchJSON("exchange", req, &answer, subject, e.job.Credential)
	shelf{e.Client, e.p}.forgetMoved(ctx, err)
	if err != nil {
		return Tokens{}, err
	}
	issuer, who, _, jwt := Inspect(answer.Token)
	switch {
	case !isBearer(answer.Token):
		return Tokens{}, errors.New("exchange endpoint: the answer holds no token")
	case !strings.EqualFold(answer.Type, "Bearer") || answer.Issued != typeAccessToken: // RFC 8693 §2.2.1
		return Tokens{}, fmt.Errorf("exchange endpoint: the answer is no access token for Bearer, but %q, %q", clip(answer.Issued, 64), clip(answer.Type, 64))
	case jwt && issuer != page.tokenIssuer:
		return Tokens{}, fmt.Errorf("exchange endpoint: the token was issued by %q, not by %q", clip(issuer, 200), page.tokenIssuer)
	}
	life := exchangedLife
	if answer.ExpiresIn > 0 && answer.ExpiresIn < int64(life/time.Second) {
		life = time.Duration(answer.ExpiresIn) * time.Second
	}
	t := Tokens{AccessToken: answer.Token, Kind: kind(answer.Token), ReceivedAt: received, ExpiresAt: received.Add(life)}
	if isSubject(who) {
		t.Subject = who
	}
	return t, nil
}

// isBearer reports whether a token can stand in an Authorization field: printable ASCII without spaces, at most 16 KiB.
func isBearer(token string) bool {
	return token != "" && len(token) <= maxJobToken && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
}

// subjectToken returns the job's own token, whose audience is the companion page where it can be chosen.
func (e jobExchange) subjectToken(ctx context.Context) (string, error) {
	token, err := e.job.Credential, error(nil)
	switch {
	case e.job.Program != "" && e.Agent == nil:
		err = errors.New("its agent cannot be run here")
	case e.job.Program != "":
		token, err = e.Agent(ctx, e.job.Program, e.p.Issuer)
	case e.job.Address != "":
		token, err = e.request(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("the token of %s: %w", e.job.CI, err)
	}
	if _, _, _, jwt := Inspect(token); len(token) > maxJobToken || !jwt {
		return "", fmt.Errorf("the token of %s in %s is not a JWT of at most 16 KiB", e.job.CI, e.job.Variable)
	}
	e.tracef("%s says: %s", e.job.CI, claimsOf(token))
	return token, nil
}

// request asks the CI for the job's token: GitHub Actions by GET with the audience in the query, Azure Pipelines by POST,
// which lets no audience be chosen. The job's credential goes to the address that the CI has set, over https, and to no other.
func (e jobExchange) request(ctx context.Context) (string, error) {
	u, err := url.Parse(e.job.Address)
	if err != nil || u.User != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())) {
		return "", errors.New("the address where it is asked for is not https, or has a user name")
	}
	method, query := http.MethodGet, u.Query()
	if e.job.Post {
		method = http.MethodPost
		query.Set("api-version", "7.1")
	} else {
		query.Set("audience", e.p.Issuer)
	}
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return "", errors.New("the address where it is asked for is not a URL")
	}
	req.Header.Set("Authorization", "Bearer "+e.job.Credential)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", "application/json")
	var answer struct {
		Value string `json:"value"`     // GitHub Actions
		Token string `json:"oidcToken"` // Azure Pipelines
	}
	if err := e.fetchJSON("CI", req, &answer, e.job.Credential); err != nil {
		return "", err
	}
	return answer.Value + answer.Token, nil
}

// Claims are those of the token of a CI job that say who the job is, by their names: foreign text, of at most 200 bytes
// each, in which what is not printable is escaped.
type Claims map[string]string

// claimMost bounds the value of a claim, in bytes.
const claimMost = 200

// jobClaims returns the names of the claims in [Claims]: of all CIs, GitHub Actions, GitLab, CircleCI, Bitbucket
// Pipelines, Azure Pipelines and Buildkite. Claims that name a job's author are left out.
func jobClaims() []string {
	return []string{"iss", "sub", "aud",
		"repository", "project_path", "ref", "ref_type", "environment", "event_name", "pipeline_source",
		"oidc.circleci.com/project-id", "oidc.circleci.com/vcs-origin", "oidc.circleci.com/vcs-ref",
		"repositoryUuid", "deploymentEnvironmentUuid",
		"prj_id", "rpo_id", "rpo_ref",
		"organization_slug", "pipeline_slug", "build_branch",
	}
}

// claimsOf returns the claims of a job's token, whose signature is not checked here.
func claimsOf(token string) Claims {
	payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	var said map[string]json.RawMessage
	json.Unmarshal(payload, &said) // without any there is nothing to show
	claims := Claims{}
	for _, name := range jobClaims() {
		var value string
		var list []string
		if json.Unmarshal(said[name], &value) != nil && json.Unmarshal(said[name], &list) == nil && len(list) == 1 {
			value = list[0] // as Kubernetes writes its aud
		}
		if value != "" {
			quoted := strconv.Quote(clip(value, claimMost))
			claims[name] = clip(quoted[1:len(quoted)-1], claimMost)
		}
	}
	return claims
}

// String is the claims, for people.
func (c Claims) String() string {
	if len(c) == 0 {
		return "nothing of the job"
	}
	var words []string
	for _, name := range jobClaims() {
		if value := c[name]; value != "" {
			words = append(words, name+` "`+value+`"`)
		}
	}
	return strings.Join(words, ", ")
}
