package toolconfig

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"clerk-credential-helper/internal/testworld"
)

// dockerFiles are configurations as docker, programs like it and people write them, by what is special about them.
func dockerFiles() map[string]string {
	const usual = "{\n\t\"auths\": {\n\t\t\"ghcr.io\": {\n\t\t\t\"auth\": \"YTpi\"\n\t\t}\n\t},\n\t\"credsStore\": \"desktop\"\n}"
	return map[string]string{
		"docker's own":         usual,
		"with a line end":      usual + "\n",
		"CRLF":                 strings.ReplaceAll(usual, "\n", "\r\n") + "\r\n",
		"two spaces":           strings.ReplaceAll(usual, "\t", "  "),
		"four spaces":          strings.ReplaceAll(usual, "\t", "    ") + "\n",
		"one line":             `{"auths":{"ghcr.io":{"auth":"YTpi"}},"credsStore":"desktop"}`,
		"one line, spaces":     `{ "auths": {}, "credsStore": "desktop" }`,
		"one line, airy":       `{"auths": {}, "experimental": "enabled"}` + "\n",
		"one member":           "{\n  \"credsStore\": \"osxkeychain\"\n}\n",
		"one member, one line": `{"credsStore":"pass"}`,
		"helpers":              "{\n\t\"credHelpers\": {\n\t\t\"gcr.io\": \"gcloud\",\n\t\t\"eu.gcr.io\": \"gcloud\"\n\t}\n}\n",
		"one helper":           "{\n\t\"credHelpers\": {\n\t\t\"1.dkr.ecr.eu-west-1.amazonaws.com\": \"ecr-login\"\n\t}\n}\n",
		"helpers on one line":  "{\n\t\"auths\": {},\n\t\"credHelpers\": {\"gcr.io\": \"gcloud\", \"eu.gcr.io\": \"gcloud\"}\n}\n",
		"helpers, compact":     `{"credHelpers":{"gcr.io":"gcloud"},"auths":{}}`,
		"helpers first":        "{\n  \"credHelpers\": {\n    \"gcr.io\": \"gcloud\"\n  },\n  \"auths\": {}\n}\n",
		"proxies":              "{\n \"proxies\": {\n  \"default\": {\n   \"httpProxy\": \"http://p:3128\",\n   \"noProxy\": \"a,b\"\n  }\n }\n}\n",
		"headers":              "{\n\t\"HttpHeaders\": {\n\t\t\"User-Agent\": \"Docker-Client/19.03 (linux)\"\n\t},\n\t\"detachKeys\": \"ctrl-q,q\"\n}",
		"formats":              `{"psFormat":"table {{.ID}}\t{{.Names}}","imagesFormat":"{\"x\": [1, 2]}"}`,
		"braces in text":       `{"detachKeys":"}]\"{[","auths":{}}`,
		"plugins":              "{\n\t\"plugins\": {\n\t\t\"scan\": {\n\t\t\t\"a\": \"b\"\n\t\t}\n\t},\n\t\"cliPluginsExtraDirs\": [\n\t\t\"/opt/x\"\n\t]\n}\n",
		"context":              "{\n\t\"currentContext\": \"desktop-linux\",\n\t\"features\": {\"buildkit\": \"true\"}\n}\n",
		"numbers and null":     `{"pruneFilters":[],"x":1.5e3,"y":null,"z":true}`,
		"comma first":          "{ \"auths\": {}\n, \"experimental\": \"enabled\"\n}\n",
		"aligned colons":       "{\n  \"auths\"       : {},\n  \"experimental\": \"enabled\"\n}\n",
		"blanks at the end":    "{\n\t\"auths\": {}\n}\n\n\n",
		"blanks before":        "\n\n  {\"auths\": {}}",
		"no indentation":       "{\n\"auths\": {},\n\"experimental\": \"enabled\"\n}\n",
		"blank line inside":    "{\n\n\t\"auths\": {},\n\n\t\"experimental\": \"enabled\"\n\n}\n",
		"not ASCII":            "{\"HttpHeaders\": {\"X-Name\": \"Ådå \\u00e9\"}}\n",
		"escaped names":        `{"auths":{"https:\/\/index.docker.io\/v1\/":{}}}`,
		"podman's auth.json":   "{\n\t\"auths\": {\n\t\t\"quay.io\": {\n\t\t\t\"auth\": \"YTpi\"\n\t\t}\n\t}\n}",
		"unknown keys":         "{\n\t\"auths\": {},\n\t\"x-mine\": {\"credHelpers\": {\"a\": \"b\"}}\n}\n",
		"identity token":       `{"auths":{"x.azurecr.io":{"auth":"MDAwOg==","identitytoken":"ey.x.y"}}}`,
		"a helper in auths":    "{\n\t\"auths\": {\n\t\t\"registry.acme.dev\": {}\n\t}\n}\n",
	}
}

// emptyDockerFiles have no member that shows their layout: their bytes are restored from the backup.
func emptyDockerFiles() map[string]string {
	return map[string]string{
		"empty": "", "blank": " \n", "an empty object": "{}", "with a line end": "{}\n", "with a blank": "{ }", "two lines": "{\n}\n",
		"empty helpers": `{"credHelpers":{}}`, "empty helpers and more": "{\n\t\"auths\": {},\n\t\"credHelpers\": {}\n}\n",
		"helpers are null": "{\"credHelpers\": null}", "helpers are null, and more follows": "{\n\t\"credHelpers\" : null,\n\t\"auths\": {}\n}\n", "the store is null": "{\"credsStore\":null}",
	}
}

func brokenDockerFiles() map[string]string {
	return map[string]string{
		"comma too many":       "{\n\t\"auths\": {},\n}\n",
		"comments":             "{\n\t// mine\n\t\"auths\": {}\n}\n",
		"cut off":              "{\n\t\"auths\": {\n",
		"byte order mark":      "\ufeff{\"auths\": {}}",
		"an array":             "[]",
		"null":                 "null",
		"two objects":          "{} {}",
		"TOML":                 "credsStore = \"desktop\"\n",
		"helpers are a list":   "{\"credHelpers\": [\"gcr.io\"]}",
		"helpers hold objects": "{\"credHelpers\": {\"gcr.io\": {}}}",
		"zeros":                "\x00\x00\x00\x00",
		"UTF-16":               "\xff\xfe{\x00}\x00",
		"store is a flag":      "{\"credsStore\": true}",
		"helpers twice":        "{\"credHelpers\": {},\n\"credHelpers\": {}}",
		"another spelling":     "{\"CredHelpers\": {}}",
		"a host twice":         "{\"credHelpers\": {\"a\": \"b\", \"a\": \"c\"}}",
		"another helper's":     "{\"credHelpers\": {\"registry.acme.dev\": \"ecr-login\"}}",
	}
}

func testRegistries() []string { return []string{"registry.acme.dev", "registry.acme.dev:5000"} }

func asDocker(t *testing.T, text []byte) map[string]any {
	t.Helper()
	all := map[string]any{}
	if isBlank(text) {
		return all
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatalf("not JSON any more: %v\n%s", err, text)
	}
	return all
}

func TestDockerAddAndRemove(t *testing.T) {
	for name, text := range dockerFiles() {
		t.Run(name, func(t *testing.T) {
			added, err := dockerAdd([]byte(text), testRegistries())
			if err != nil {
				t.Fatal(err)
			}
			checkDocker(t, text, added)
			removed, err := dockerRemove(added, nil)
			if err != nil || string(removed) != text {
				t.Errorf("removed, it is not what it was: %v\n%q\nnot\n%q\nwith us:\n%s", err, removed, text, added)
			}

			all, before, err := dockerAddAll([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if asDocker(t, all)[dockerStore] != DockerName {
				t.Errorf("not for all: %s", all)
			}
			if back, err := dockerRemoveAll(all, before); err != nil || string(back) != text {
				t.Errorf("given back, it is not what it was: %v\n%q\nnot\n%q", err, back, text)
			}
		})
	}
	for name, text := range emptyDockerFiles() {
		t.Run(name, func(t *testing.T) {
			added, err := dockerAdd([]byte(text), testRegistries())
			if err != nil {
				t.Fatal(err)
			}
			checkDocker(t, text, added)
			removed, err := dockerRemove(added, nil)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(removed, []byte("clerk")) || len(asDocker(t, removed)) > 1 {
				t.Errorf("something is left: %s", removed)
			}
		})
	}
}

// checkDocker checks that only the helpers of our registries are new.
func checkDocker(t *testing.T, text string, added []byte) {
	t.Helper()
	want, got := asDocker(t, []byte(text)), asDocker(t, added)
	helpers, _ := want[dockerHelpers].(map[string]any)
	helpers = maps.Clone(helpers)
	if helpers == nil {
		helpers = map[string]any{}
	}
	for _, host := range testRegistries() {
		helpers[host] = "clerk"
	}
	want[dockerHelpers] = helpers
	if !reflect.DeepEqual(got, want) {
		t.Errorf("docker reads\n%v\nnot\n%v", got, want)
	}
	if again, err := dockerAdd(added, testRegistries()); err != nil || !bytes.Equal(again, added) {
		t.Errorf("a second time changes it: %v\n%s", err, again)
	}
}

// TestDockerReads has the docker CLI load every file with us in it.
func TestDockerReads(t *testing.T) {
	testworld.Long(t, "starts docker for each file")
	testworld.Need(t, "docker")
	for _, files := range []map[string]string{dockerFiles(), emptyDockerFiles(), {"(broken)": "{"}} {
		for name, text := range files {
			folder := t.TempDir()
			added := []byte(text)
			if name != "(broken)" {
				var err error
				if added, err = dockerAdd(added, testRegistries()); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(folder, "config.json"), added, 0o600); err != nil {
				t.Fatal(err)
			}
			out, _ := exec.Command("docker", "--config", folder, "context", "show").CombinedOutput()
			if complains := bytes.Contains(out, []byte("rror")) && bytes.Contains(out, []byte("config")); complains != (name == "(broken)") {
				t.Errorf("%s: docker says %s", name, out)
			}
		}
	}
}

func TestDockerLayout(t *testing.T) {
	tests := []struct{ text, want string }{
		{"{\n\t\"auths\": {}\n}", "{\n\t\"auths\": {},\n\t\"credHelpers\": {\n\t\t\"r\": \"clerk\"\n\t}\n}"},
		{"{\n  \"auths\": {}\n}\n", "{\n  \"auths\": {},\n  \"credHelpers\": {\n    \"r\": \"clerk\"\n  }\n}\n"},
		{`{"auths":{}}`, `{"auths":{},"credHelpers":{"r":"clerk"}}`},
		{`{"auths": {}, "a": "b"}`, `{"auths": {}, "a": "b", "credHelpers": {"r": "clerk"}}`},
		{`{ "auths": {} }`, `{ "auths": {}, "credHelpers": {"r": "clerk"} }`},
		{"{\r\n\t\"a\": 1\r\n}\r\n", "{\r\n\t\"a\": 1,\r\n\t\"credHelpers\": {\r\n\t\t\"r\": \"clerk\"\r\n\t}\r\n}\r\n"},
		{"{\n\t\"credHelpers\": {\n\t\t\"a\": \"b\"\n\t}\n}", "{\n\t\"credHelpers\": {\n\t\t\"a\": \"b\",\n\t\t\"r\": \"clerk\"\n\t}\n}"},
		{"", "{\n\t\"credHelpers\": {\n\t\t\"r\": \"clerk\"\n\t}\n}\n"},
		{"{}", `{"credHelpers": {"r": "clerk"}}`},
	}
	for _, tt := range tests {
		got, err := dockerAdd([]byte(tt.text), []string{"r"})
		if err != nil || string(got) != tt.want {
			t.Errorf("%q: %v\n%s\nnot\n%s", tt.text, err, got, tt.want)
		}
	}
}

func TestDockerBroken(t *testing.T) {
	for name, text := range brokenDockerFiles() {
		t.Run(name, func(t *testing.T) {
			if got, err := dockerAdd([]byte(text), testRegistries()); err == nil {
				t.Errorf("it was accepted: %s", got)
			} else if name != "another helper's" && name != "null" && !strings.Contains(err.Error(), "line ") {
				t.Errorf("the line is not named: %v", err)
			}
		})
	}
}

func TestDockerRemoveSome(t *testing.T) {
	const text = `{"credHelpers":{"a":"clerk","b":"other","c":"clerk"},"credsStore":"clerk"}`
	if got, err := dockerRemove([]byte(text), []string{"c"}); err != nil || string(got) != `{"credHelpers":{"a":"clerk","b":"other"},"credsStore":"clerk"}` {
		t.Errorf("%v %s", err, got)
	}
	if got, err := dockerRemove([]byte(text), nil); err != nil || string(got) != `{"credHelpers":{"b":"other"},"credsStore":"clerk"}` {
		t.Errorf("%v %s", err, got)
	}
}

func TestFallbackLines(t *testing.T) {
	const profile = "[profiles.a]\nissuer = \"https://c.acme.dev\"\nclient_id = \"x\"\nhosts = [\"a.acme.dev\"]"
	for _, text := range []string{"", profile, profile + "\n", strings.ReplaceAll(profile, "\n", "\r\n") + "\r\n", profile + "\n# end\n\n"} {
		added, err := addFallback("f", []byte(text), "/usr/bin/docker-credential-pass")
		if err != nil || !bytes.Contains(added, []byte(`fallback = "/usr/bin/docker-credential-pass"`)) {
			t.Errorf("%v %s", err, added)
		}
		if back, err := removeFallback("f", added); err != nil || string(back) != text {
			t.Errorf("%v\n%q\nnot\n%q", err, back, text)
		}
	}
	if _, err := addFallback("f", []byte("[docker]\nfallback = \"other\"\n"), "/usr/bin/docker-credential-pass"); err == nil {
		t.Error("another fallback was overwritten")
	}
	if _, err := addFallback("f", []byte("[docker]\n"), "/x/docker-credential-pass"); err == nil {
		t.Error("a second [docker] was written")
	}
}

func FuzzDocker(f *testing.F) {
	for _, files := range []map[string]string{dockerFiles(), emptyDockerFiles(), brokenDockerFiles()} {
		for _, text := range files {
			f.Add([]byte(text))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.Contains(text, []byte("clerk")) {
			t.Skip("what was ours already is removed too")
		}
		added, err := dockerAdd(text, testRegistries())
		if err != nil {
			return
		}
		_, docker, err := parseDocker(added)
		if err != nil {
			t.Fatalf("what we wrote cannot be read: %v\n%q", err, added)
		}
		for _, host := range testRegistries() {
			if docker.CredHelpers[host] != DockerName {
				t.Fatalf("%s is not ours: %q", host, added)
			}
		}
		removed, err := dockerRemove(added, nil)
		if err != nil {
			t.Fatal(err)
		}
		if isBlank(text) || len(scanObject(text, bytes.IndexByte(text, '{')).members) == 0 {
			return
		}
		top, _, _ := parseDocker(text)
		if m := top.member(dockerHelpers); m != nil && (isNull(text, m) || len(scanObject(text, m.value.start).members) == 0) {
			return
		}
		if !bytes.Equal(removed, text) {
			t.Fatalf("%q\nnot\n%q\nwith us:\n%q", removed, text, added)
		}
	})
}

func TestDockerStoreIsOurs(t *testing.T) {
	const text = `{"credsStore":"clerk"}`
	if got, err := dockerAdd([]byte(text), testRegistries()); err != nil || string(got) != text {
		t.Errorf("docker asks us for every registry already: %v %s", err, got)
	}
}
