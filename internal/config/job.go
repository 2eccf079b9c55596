package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// JobToken is the variable for the token of a CI job that no other rule finds, and JobTokenFile names a file that has one.
const (
	JobToken     = "CLERK_HELPER_CI_TOKEN"
	JobTokenFile = "CLERK_HELPER_CI_TOKEN_FILE"
)

// requestTokens are the variables with what a job asks its CI with: such a token may do more than say who the job is.
var requestTokens = []string{"ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_RUNTIME_TOKEN", "GITHUB_TOKEN", "SYSTEM_ACCESSTOKEN",
	"BUILDKITE_AGENT_ACCESS_TOKEN", "CI_JOB_TOKEN"}

// Job is a CI job, for which its CI signs a token of its own (an ID token of OpenID Connect). A companion page exchanges that
// token for one of Clerk's where its policy allows it (RFC 8693).
type Job struct {
	// CI is its name, for messages, such as "GitHub Actions".
	CI string
	// Variable is the one that brings Credential.
	Variable string
	// Credential is the job's token. With Address it is what that token is asked for with. It is secret.
	Credential string
	// Address is where the job's token is asked for; empty if it is there already. Post is set if that is a POST, with an audience
	// that the CI chooses.
	Address string
	Post    bool
	// Program is the absolute path of the agent that asks for the job's token; empty if there is none.
	Program string
}

// JobOf returns the CI job that this process belongs to, nil if there is none, or none that p uses: that is a profile with a
// companion page. The variable that p names comes first, then CLERK_HELPER_CI_TOKEN and CLERK_HELPER_CI_TOKEN_FILE, then what
// GitHub Actions, CircleCI, Bitbucket Pipelines, Azure Pipelines and Buildkite set. An empty variable counts as not set.
//
// The Credential of a file is its path: the caller reads it.
func (p *Profile) JobOf(getenv func(string) string) (*Job, error) {
	if !p.Companion || p.CI == "off" {
		return nil, nil
	}
	get := func(name string) string { return strings.TrimSpace(getenv(name)) }
	if p.CIToken != "" && get(p.CIToken) != "" {
		return &Job{CI: ciName(get), Variable: p.CIToken, Credential: get(p.CIToken)}, nil
	}
	switch token, file := get(JobToken), get(JobTokenFile); {
	case token != "" && file != "":
		return nil, &Error{errors.New(JobToken + " and " + JobTokenFile + " are both set: keep one")}
	case slices.ContainsFunc(requestTokens, func(name string) bool { return token != "" && token == get(name) }):
		return nil, &Error{errors.New(JobToken + " has what the job asks its CI with, and not the job's token: it was not sent")}
	case token != "":
		return &Job{CI: ciName(get), Variable: JobToken, Credential: token}, nil
	case file != "":
		path, err := PathVariable(get, JobTokenFile)
		if err != nil {
			return nil, &Error{err}
		}
		return &Job{CI: ciName(get), Variable: JobTokenFile, Credential: path}, nil
	}
	agent := ""
	if folder := get("BUILDKITE_BIN_PATH"); filepath.IsAbs(folder) { // another one could be in a clone
		agent = filepath.Join(folder, "buildkite-agent")
	}
	// docs.github.com, "OpenID Connect reference"; circleci.com/docs, "Using OpenID Connect tokens in jobs";
	// support.atlassian.com, "Integrate Pipelines with resource servers using OIDC"; learn.microsoft.com, "Oidctoken - Create";
	// buildkite.com/docs, "buildkite-agent oidc".
	github, azure := get("ACTIONS_ID_TOKEN_REQUEST_URL"), get("SYSTEM_OIDCREQUESTURI")
	for _, job := range []Job{
		{CI: "GitHub Actions", Variable: "ACTIONS_ID_TOKEN_REQUEST_TOKEN", Address: github},
		{CI: "CircleCI", Variable: "CIRCLE_OIDC_TOKEN_V2"},
		{CI: "Bitbucket Pipelines", Variable: "BITBUCKET_STEP_OIDC_TOKEN"},
		{CI: "Azure Pipelines", Variable: "SYSTEM_ACCESSTOKEN", Address: azure, Post: true},
		{CI: "Buildkite", Variable: "BUILDKITE_AGENT_ACCESS_TOKEN", Program: agent},
	} {
		job.Credential = get(job.Variable)
		given := !slices.Contains(requestTokens, job.Variable) // the token itself, and not what it is asked for with
		if job.Credential != "" && (given || job.Address != "" || job.Program != "") {
			return &job, nil
		}
	}
	return nil, nil
}

// ciName is the name of the CI that has brought a job's token in a variable or a file of no CI's own, "the CI" for
// others.
func ciName(get func(string) string) string {
	for _, ci := range []struct{ variable, name string }{
		{"GITLAB_CI", "GitLab"}, {"GITHUB_ACTIONS", "GitHub Actions"}, {"CIRCLECI", "CircleCI"}, {"BITBUCKET_BUILD_NUMBER", "Bitbucket Pipelines"},
		{"TF_BUILD", "Azure Pipelines"}, {"BUILDKITE", "Buildkite"}, {"JENKINS_URL", "Jenkins"},
		{"KUBERNETES_SERVICE_HOST", "Kubernetes"}, // last: jobs of the others run there
	} {
		if get(ci.variable) != "" {
			return ci.name
		}
	}
	return "the CI"
}

// EnterJob makes machine profiles of those for which a token of the CI job can be exchanged, if the process belongs to one: no
// user signs in there.
func (c *Config) EnterJob(getenv func(string) string) error {
	for _, p := range c.All() {
		job, err := p.JobOf(getenv)
		if err != nil {
			return err
		}
		if job != nil {
			p.InJob, p.IsMachine = job.CI, true
		}
	}
	return nil
}

// parseVariable parses the name of a variable with a job's token. None of ours can be it: what they hold must not be sent.
func parseVariable(name string) (string, error) {
	if len(name) > 64 || name == "" || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" || name[0] >= '0' && name[0] <= '9' {
		return "", fmt.Errorf("%.70q is not a variable: write its name alone, in capital letters, such as \"CLERK_ID_TOKEN\"", name)
	}
	if slices.Contains(requestTokens, name) {
		return "", fmt.Errorf("%q is what a job asks its CI with, and not the job's token: it must not be sent to the companion page", name)
	}
	if strings.HasPrefix(name, "CLERK_HELPER_") || strings.HasPrefix(name, MachineKey) || name == "CLERK_SECRET_KEY" {
		return "", fmt.Errorf("%q is a variable of another meaning: give the job's token a name of its own", name)
	}
	return name, nil
}
