package toolconfig

import (
	"strings"
	"testing"
)

// TestOurs: no backup is made of a text that is ours alone.
func TestOurs(t *testing.T) {
	git := Edit{Blank: isBlank, Without: func(text []byte) ([]byte, error) { return gitRemove(text, nil) }}
	docker := Edit{Blank: isEmptyObject, Without: dockerWithout}
	kubectl := Edit{Blank: kubeBlank, Without: kubeRemove}
	made, err := kubeAdd(nil)
	if err != nil {
		t.Fatal(err)
	}
	const section = "[credential \"https://git.acme.dev\"]\n\thelper =\n\thelper = clerk\n"
	for _, row := range []struct {
		reason string
		edit   Edit
		text   string
		want   bool
	}{
		{"as setup makes it", git, section, true},
		{"two hosts", git, section + strings.ReplaceAll(section, "git.", "git2."), true},
		{"as setup makes it", docker, `{"credHelpers": {"a.dev": "clerk", "b.dev": "clerk"}}`, true},
		{"for every registry", docker, `{"credsStore": "clerk"}`, true},
		{"as setup makes it", kubectl, string(made), true},

		{"an empty file", git, "", false},
		{"a comment", git, "# mine\n" + section, false},
		{"a setting", git, "[user]\n\tname = Ada\n" + section, false},
		{"a key in our section", git, section + "\tusername = ada\n", false},
		{"another helper", git, "[credential]\n\thelper = store\n", false},
		{"nothing of ours", git, "[user]\n\tname = Ada\n", false},
		{"not to be read", git, section + "[user\n", false},
		{"an empty object", docker, "{ }", false},
		{"another helper's registry", docker, `{"credHelpers": {"a.dev": "clerk", "b.dev": "ecr-login"}}`, false},
		{"passwords", docker, `{"auths": {}, "credHelpers": {"a.dev": "clerk"}}`, false},
		{"a cluster", kubectl, string(made) + "clusters: []\n", false},
		{"our own configuration", Edit{}, section, false},
	} {
		if got := row.edit.ours([]byte(row.text)); got != row.want {
			t.Errorf("%s: %v\n%s", row.reason, got, row.text)
		}
	}
}
