package toolconfig

import (
	"bytes"
	"strings"
	"testing"
)

func toolFiles() map[string][]string {
	return map[string][]string{
		"go": {
			"", "\n", "GOPRIVATE=*.acme.dev\n", "GOPRIVATE=*.acme.dev", "GOPRIVATE=a\r\nGOFLAGS=-mod=mod\r\n", "# mine\nGOSUMDB=off\n",
			"GOAUTH=netrc;git /home/ada\n", "GOAUTH=git /home/ada\nGOPROXY=https://proxy.acme.dev,direct\n", "GOPROXY=direct\nGOAUTH=/opt/x --y 'a b';netrc",
			"GOAUTH=git /a\nGOAUTH=git /b\n", "not a setting\n\nGOPROXY=direct\n", "GOAUTHOR=me\n",
		},
		"cargo": {
			"", "\n", "# mine\n", "[net]\ngit-fetch-with-cli = true\n", "[net]\ngit-fetch-with-cli = true", "[build]\r\njobs = 4\r\n",
			"[registry]\ndefault = \"corp\"\n", "[registry] # ours\ndefault = \"corp\"\n\n[net]\nretry = 3\n", "[registry]\nglobal-credential-providers = [\"cargo:token\", \"cargo:libsecret\"]\n",
			"[registry]\ndefault = \"corp\"\nglobal-credential-providers = [ \"cargo:libsecret\" ] # first\n[net]\nretry = 1\n",
			"[registries.corp]\nindex = \"sparse+https://cargo.acme.dev/index/\"\n", "[alias]\nb = \"build\"\n[target.x86_64-unknown-linux-gnu]\nrustflags = [\"-C\", \"link-arg=-fuse-ld=lld\"]\n",
			"[registry]\ntoken = '''\n[registry]\n'''\n",
		},
		"terraform": {
			"", "\n", "plugin_cache_dir = \"$HOME/.terraform.d/plugin-cache\"\n", "disable_checkpoint = true", "credentials \"app.terraform.io\" {\r\n  token = \"x\"\r\n}\r\n",
			"host \"registry.acme.dev\" {\n  services = {\n    \"modules.v1\" = \"https://x/\"\n  }\n}\n", "# credentials_helper \"other\" {}\n", "// mine {\n/* } {{ \" */\nx = \"a \\\" { b\"\n",
			"provider_installation {\n  network_mirror {\n    url = \"https://m/\"\n  }\n  direct {}\n}\n",
		},
		"kubectl": {
			"apiVersion: v1\nkind: Config\nusers:\n- name: a\n  user: {}\n", "apiVersion: v1\nusers:\n- name: a\n  user: {}", "users:\n  - name: a\n    user:\n      token: x\ncontexts: []\n",
			"apiVersion: v1\r\nusers:\r\n- name: a\r\n  user: {}\r\n", "# mine\nusers: # here\n# a\n- name: a\n  user:\n    exec:\n      command: aws\n      args:\n      - eks\n---\n",
			"clusters:\n- name: clerk\n  cluster: {}\nusers:\n- name: a\n  user:\n    exec:\n      env:\n      - name: clerk\n        value: x\nkind: Config\n",
			"users:\n-\n  name: a\n  user: {}\n",
		},
		"pip": {
			"", "\n", "[global]\nindex-url = https://clerk@pypi.acme.dev/simple/\n", "[global]\nindex-url = https://a/", "[install]\nuser = yes\n", "[global]\r\ntimeout = 60\r\n\r\n[install]\r\nuser = yes\r\n",
			"# mine\n[global]\n# a\nextra-index-url =\n    https://a/\n    https://b/\n; end\n", "[list]\nformat: columns\n", "[global]\ntrusted-host = a\n\n\n",
		},
	}
}

func TestToolsAddAndRemove(t *testing.T) {
	for name, files := range toolFiles() {
		tool, _ := Named(name)
		for _, text := range files {
			added, err := tool.add([]byte(text), nil)
			if err != nil {
				t.Errorf("%s: %q: %v", name, text, err)
				continue
			}
			if bytes.Equal(added, []byte(text)) || !strings.Contains(string(added), "clerk") && name != "pip" {
				t.Errorf("%s: %q: nothing was added: %q", name, text, added)
			}
			if again, err := tool.add(added, nil); err != nil || !bytes.Equal(again, added) {
				t.Errorf("%s: a second time changes it: %v\n%q\nnot\n%q", name, err, again, added)
			}
			if removed, err := tool.remove(added, nil); err != nil || string(removed) != text {
				t.Errorf("%s: removed, it is not what it was: %v\n%q\nnot\n%q\nwith us:\n%q", name, err, removed, text, added)
			}
			if removed, err := tool.remove([]byte(text), nil); err != nil || string(removed) != text {
				t.Errorf("%s: there was nothing of ours: %v\n%q\nnot\n%q", name, err, removed, text)
			}
		}
	}
}

func TestToolsRefuse(t *testing.T) {
	tests := []struct{ tool, text, want string }{
		{"cargo", "[net\n", "line 1: "},
		{"cargo", "a = 1\na = 2\n", "line 2: "},
		{"cargo", "registry = { default = \"corp\" }\n", "by hand"},
		{"cargo", "[registry]\nglobal-credential-providers = [\n  \"cargo:token\",\n]\n", "by hand"},
		{"cargo", "[registry]\nglobal-credential-providers = \"cargo:token\"\n", "line 2"},
		{"terraform", "credentials_helper \"other\" {}\n", `"other" already`},
		{"terraform", "host \"x\" {\n", "line 1: this brace is not closed"},
		{"terraform", "}\n", "line 1: this brace closes nothing"},
		{"terraform", "a = 1\nb = \"x\n", "line 2: the quotes do not end"},
		{"terraform", "/* x\n", "line 1: the comment does not end"},
		{"kubectl", "users:\n\t- name: a\n", "line 2: "},
		{"kubectl", "{\"users\": []}\n", "line 1: "},
		{"kubectl", "kind: Config\nnonsense\n", "line 2: "},
		{"kubectl", "users: []\nusers: []\n", "line 2: "},
		{"kubectl", "users: {a: b}\n", "line 1: "},
		{"kubectl", "users:\n- name: clerk\n  user: {}\n", "already"},
		{"pip", "index-url = x\n", "line 1: "},
		{"pip", "[global]\nnonsense\n", "line 2: "},
		{"pip", "[global]\n[global]\n", "line 2: "},
		{"pip", "[global]\na = 1\na = 2\n", "line 3: "},
		{"pip", "[global]\nkeyring-provider = disabled\n", `"disabled" already`},
	}
	for _, tt := range tests {
		tool, _ := Named(tt.tool)
		if got, err := tool.add([]byte(tt.text), nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %q: %v, not %q\n%s", tt.tool, tt.text, err, tt.want, got)
		}
	}
}

func TestGoAuth(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", "GOAUTH=clerk-credential-helper goauth;netrc\n"},
		{"GOAUTH=off\n", "GOAUTH=clerk-credential-helper goauth;netrc\n"},
		{"GOAUTH=git /a;netrc\n", "GOAUTH=clerk-credential-helper goauth;git /a;netrc\n"},
		{"GOAUTH=git /a;clerk-credential-helper goauth\n", "GOAUTH=git /a;clerk-credential-helper goauth\n"},
	}
	for _, tt := range tests {
		if got, err := goAdd([]byte(tt.text)); err != nil || string(got) != tt.want {
			t.Errorf("%q: %v %q, not %q", tt.text, err, got, tt.want)
		}
	}
}
