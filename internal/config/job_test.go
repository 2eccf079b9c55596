package config

import (
	"maps"
	"path/filepath"
	"strings"
	"testing"
)

func TestJobOf(t *testing.T) {
	bin, err := filepath.Abs(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	github := map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": "https://actions/x?y=1", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "asks"}
	with := func(more ...string) map[string]string {
		env := maps.Clone(github)
		for i := 0; i < len(more); i += 2 {
			env[more[i]] = more[i+1]
		}
		return env
	}
	for _, row := range []struct {
		reason  string
		profile Profile
		env     map[string]string
		want    Job
	}{
		{"a person's machine", Profile{}, nil, Job{}},
		{"GitHub gives an address and what to ask with", Profile{}, github, Job{CI: "GitHub Actions", Variable: "ACTIONS_ID_TOKEN_REQUEST_TOKEN", Credential: "asks", Address: "https://actions/x?y=1"}},
		{"a workflow without the permission has no token to ask with", Profile{}, map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": "https://actions"}, Job{}},
		{"what to ask with, and nowhere to ask", Profile{}, map[string]string{"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "asks"}, Job{}},
		{"switched off", Profile{CI: "off"}, github, Job{}},
		{"the variable that the profile names comes first", Profile{CIToken: "ID"}, with("ID", "a.b.c", JobToken, "d.e.f"), Job{CI: "the CI", Variable: "ID", Credential: "a.b.c"}},
		{"which is empty outside of a job", Profile{CIToken: "ID"}, nil, Job{}},
		{"which is empty in a job of another CI", Profile{CIToken: "ID"}, github, Job{CI: "GitHub Actions", Variable: "ACTIONS_ID_TOKEN_REQUEST_TOKEN", Credential: "asks", Address: "https://actions/x?y=1"}},
		{"our own variable before what a CI sets", Profile{}, with(JobToken, " d.e.f\n"), Job{CI: "the CI", Variable: JobToken, Credential: "d.e.f"}},
		{"GitLab's, on Kubernetes", Profile{}, map[string]string{JobToken: "d.e.f", "GITLAB_CI": "true", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, Job{CI: "GitLab", Variable: JobToken, Credential: "d.e.f"}},
		{"a pod's", Profile{}, map[string]string{JobTokenFile: bin, "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, Job{CI: "Kubernetes", Variable: JobTokenFile, Credential: bin}},
		{"a file's path", Profile{}, map[string]string{JobTokenFile: bin}, Job{CI: "the CI", Variable: JobTokenFile, Credential: bin}},
		{"CircleCI", Profile{}, map[string]string{"CIRCLE_OIDC_TOKEN_V2": "a.b.c"}, Job{CI: "CircleCI", Variable: "CIRCLE_OIDC_TOKEN_V2", Credential: "a.b.c"}},
		{"the first form of it, without the origin of the repository", Profile{}, map[string]string{"CIRCLE_OIDC_TOKEN": "a.b.c"}, Job{}},
		{"Bitbucket", Profile{}, map[string]string{"BITBUCKET_STEP_OIDC_TOKEN": "a.b.c"}, Job{CI: "Bitbucket Pipelines", Variable: "BITBUCKET_STEP_OIDC_TOKEN", Credential: "a.b.c"}},
		{"Azure", Profile{}, map[string]string{"SYSTEM_ACCESSTOKEN": "asks", "SYSTEM_OIDCREQUESTURI": "https://dev.azure"}, Job{CI: "Azure Pipelines", Variable: "SYSTEM_ACCESSTOKEN", Credential: "asks", Address: "https://dev.azure", Post: true}},
		{"Azure's token, which the step was not given", Profile{}, map[string]string{"SYSTEM_OIDCREQUESTURI": "https://dev.azure"}, Job{}},
		{"Buildkite", Profile{}, map[string]string{"BUILDKITE_AGENT_ACCESS_TOKEN": "asks", "BUILDKITE_BIN_PATH": bin}, Job{CI: "Buildkite", Variable: "BUILDKITE_AGENT_ACCESS_TOKEN", Credential: "asks", Program: filepath.Join(bin, "buildkite-agent")}},
		{"an agent in the current folder could be a clone's", Profile{}, map[string]string{"BUILDKITE_AGENT_ACCESS_TOKEN": "asks", "BUILDKITE_BIN_PATH": "bin"}, Job{}},
	} {
		row.profile.Companion = true
		job, err := row.profile.JobOf(func(name string) string { return row.env[name] })
		if err != nil || (job == nil) != (row.want == Job{}) || job != nil && *job != row.want {
			t.Errorf("%s: got %+v, %v; want %+v", row.reason, job, err, row.want)
		}
		row.profile.Companion = false
		if job, err := row.profile.JobOf(func(name string) string { return row.env[name] }); job != nil || err != nil {
			t.Errorf("%s, and no companion page: %+v, %v", row.reason, job, err)
		}
	}
	for want, env := range map[string]map[string]string{
		"are both set":                  {JobToken: "a.b.c", JobTokenFile: bin},
		"depends on the current folder": {JobTokenFile: "token"},
		"it was not sent":               {JobToken: "asks", "SYSTEM_ACCESSTOKEN": "asks"},
	} {
		_, err := (&Profile{Companion: true}).JobOf(func(name string) string { return env[name] })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestEnterJob: in a job a profile with a companion page is a machine's, with the job's credential for a key; no other profile is.
func TestEnterJob(t *testing.T) {
	text := `
[profiles.app]
companion = "https://app.acme.dev"
hosts = ["a.acme.dev"]
[profiles.off]
companion = "https://off.acme.dev"
ci = "off"
hosts = ["b.acme.dev"]
[profiles.acme]
issuer = "https://clerk.acme.dev"
client_id = "abc"
hosts = ["c.acme.dev"]
[profiles.ci]
issuer = "https://clerk.acme.dev"
machine = true
hosts = ["d.acme.dev"]
`
	env := map[string]string{"CIRCLE_OIDC_TOKEN_V2": "a.b.c", MachineKey: "ak_1"}
	getenv := func(name string) string { return env[name] }
	c, err := Parse("c.toml", []byte(text))
	if err == nil {
		err = c.EnterJob(getenv)
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][3]string{"app": {"CircleCI", "a.b.c", "CIRCLE_OIDC_TOKEN_V2"}, "ci": {"", "ak_1", MachineKey}, "off": {}, "acme": {}} {
		p := c.Profile(name)
		key, variable, err := c.MachineKeyOf(p, getenv)
		if got := [3]string{p.InJob, key, variable}; err != nil || got != want || p.IsMachine != (key != "") {
			t.Errorf("%s: got %q, machine %v, %v; want %q", name, got, p.IsMachine, err, want)
		}
	}
}

func TestJobKeys(t *testing.T) {
	for text, want := range map[string]string{
		`ci = "on"`:                             "want one of",
		`ci_token = "id-token"`:                 "is not a variable",
		`ci_token = "$ID_TOKEN"`:                "is not a variable",
		`ci_token = "1ID"`:                      "is not a variable",
		`ci_token = ""`:                         "is not a variable",
		`ci_token = "CLERK_HELPER_TOKEN"`:       "of another meaning",
		`ci_token = "CLERK_MACHINE_SECRET_KEY"`: "of another meaning",
		`ci_token = "CLERK_SECRET_KEY"`:         "of another meaning",
		`ci_token = "SYSTEM_ACCESSTOKEN"`:       "must not be sent",
		`ci_token = "CI_JOB_TOKEN"`:             "must not be sent",
		"ci = \"off\"\nci_token = \"ID_TOKEN\"": "keep one",
	} {
		_, err := Parse("c.toml", []byte("[profiles.app]\ncompanion = \"https://app.acme.dev\"\nhosts = [\"a.acme.dev\"]\n"+text+"\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
	for _, text := range []string{`ci = "auto"`, `ci_token = "ID_TOKEN"`} {
		_, err := Parse("c.toml", []byte("[profiles.acme]\nissuer = \"https://clerk.acme.dev\"\nclient_id = \"x\"\nhosts = [\"a.acme.dev\"]\n"+text+"\n"))
		if err == nil || !strings.Contains(err.Error(), "only with companion") {
			t.Errorf("%s without companion: %v", text, err)
		}
	}
}

// TestCompanionFromEnvironment: three variables, and no file.
func TestCompanionFromEnvironment(t *testing.T) {
	env := map[string]string{"CLERK_HELPER_COMPANION": "https://app.acme.dev", "CLERK_HELPER_HOSTS": "git.acme.dev"}
	c, err := FromEnvironment(func(name string) string { return env[name] })
	if err != nil || !c.Profiles[0].Companion || c.Profiles[0].Issuer != "https://app.acme.dev" || c.Profiles[0].IsMachine {
		t.Fatalf("got %+v, %v", c, err)
	}
	for name, value := range map[string]string{"CLERK_HELPER_CLIENT_ID": "abc", "CLERK_HELPER_COMPANION": "https://app.acme.dev/x"} {
		wrong := maps.Clone(env)
		wrong[name] = value
		if _, err := FromEnvironment(func(name string) string { return wrong[name] }); err == nil || !strings.Contains(err.Error(), "CLERK_HELPER_COMPANION") {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
}
