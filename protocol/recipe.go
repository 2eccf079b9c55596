package protocol

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Recipe is how a tool that asks for no credentials gets some for one command: in variables, and in a file that only
// the user can read. In each text a word in braces stands for a value; see [Grant.Fill].
type Recipe struct {
	Tool string
	// Once are variables, as NAME=VALUE. Of Each there is one for each host, or for each registry with a name.
	Once, Each []string
	// Settings are the files of a project that the tool takes settings from, Packages those that have addresses only:
	// patterns, between blanks. Deep is set if the tool reads them in folders below as well.
	Settings, Packages string
	Deep               bool
	// ByName is set if the tool takes a credential by a host's name, whatever the port.
	ByName bool
	// OwnVariable and OwnPath say where the user's own file is: what the variable says, which may be its folder, or a
	// path below the home folder, with slashes. Without a path the variable has the text itself. File returns what the
	// command gets in its place. May be empty and nil.
	OwnVariable, OwnPath string
	File                 func(own []byte, g Grant) ([]byte, error)
	// Names returns the registries that a file of settings has by a name, for a tool that takes a credential by such a
	// name. May be nil.
	Names func(text []byte) ([]Registry, error)
	// Script is the text of a second file, {script}. May be empty.
	Script string
	// Programs are those that take Words instead of Once.
	Programs, Words []string
	// Bound is the variable with the one address of a tool whose credential would go to any. May be empty.
	Bound string
	// Below is set if the tool sends a credential for a host to all hosts below it too.
	Below bool
}

// Registry is one that a file has by a name. Fixed is set if the name could stand for another address in another file,
// and what the command is given decides.
type Registry struct {
	Name, Address string
	Fixed         bool
}

// Grant is what a recipe's texts are filled with.
type Grant struct {
	Profile, User, Token string
	Hosts                []string // as a profile writes them, without wildcards
	Registries           []Registry
	File, Script         string // paths
	JSON                 string
	Environ              []string // of the command, as NAME=VALUE
}

// Getenv returns a variable of the command's environment.
func (g Grant) Getenv(name string) string {
	for _, variable := range slices.Backward(g.Environ) {
		if of, value, _ := strings.Cut(variable, "="); of == name {
			return value
		}
	}
	return ""
}

// Check returns why no tool can be given the user's name and the token.
func (g Grant) Check() error {
	switch {
	case !regexp.MustCompile(`^[\pL\pN._@+~-]+$`).MatchString(g.User):
		return fmt.Errorf("the user name %q has characters in it that it cannot be given", g.User)
	case !regexp.MustCompile(`^[A-Za-z0-9._~+/=-]+$`).MatchString(g.Token):
		return errors.New("the token has characters in it that it cannot be given")
	}
	return nil
}

// CheckHost returns why the tool cannot be given a credential for a host.
func (r Recipe) CheckHost(host string) error {
	_, err := netip.ParseAddr(strings.Trim(hostName(host), "[]"))
	switch {
	case r.ByName && hostName(host) != host:
		return fmt.Errorf("it takes a name, whatever the port: other services of %q would get the token", host)
	case r.Below && err != nil:
		return fmt.Errorf("it would send the token to all hosts below %q too; if they may have it: --env 'DENO_AUTH_TOKENS={token}@%s'", host, host)
	}
	return nil
}

// CheckPath returns why the tool cannot be given a file by its path.
func (r Recipe) CheckPath(file string) error {
	if slices.Contains([]string{"maven", "nix", "r"}, r.Tool) && strings.ContainsAny(file, "'\" ") {
		return fmt.Errorf("%s cannot be given a file with a blank or a quote in its path, %q: name a folder without in XDG_RUNTIME_DIR", r.Tool, file)
	}
	return nil
}

// RecipeOf returns the row of a tool, if there is one.
func RecipeOf(tool string) (Recipe, bool) {
	for _, r := range Recipes() {
		if r.Tool == tool {
			return r, true
		}
	}
	return Recipe{}, false
}

// RecipeTools returns the tools of the table.
func RecipeTools() []string {
	var tools []string
	for _, r := range Recipes() {
		tools = append(tools, r.Tool)
	}
	return tools
}

// Recipes returns the table. The rows of npm and its relatives are empty: these take a user configuration, and a check
// of their own.
func Recipes() []Recipe {
	const index, lock = "pyproject.toml poetry.toml pdm.toml .pdm.toml uv.toml", "poetry.lock pdm.lock uv.lock"
	netrc := func(tool, settings, packages string, once ...string) Recipe {
		return Recipe{Tool: tool, Settings: settings, Packages: packages, Once: once, ByName: true, OwnVariable: "NETRC", OwnPath: ".netrc", File: netrcFile}
	}
	r := netrc("r", "", "DESCRIPTION renv.lock", "R_PROFILE_USER={script}")
	r.Script = `local({f <- c("{R_PROFILE_USER}", ".Rprofile", file.path("~", ".Rprofile")); f <- f[nzchar(f) & file.exists(f)]; if (length(f)) source(f[1])})
options(download.file.method = "curl", download.file.extra = "-fsSL --netrc-file '{file}'")
`
	return []Recipe{
		{Tool: "npm"}, {Tool: "pnpm"}, {Tool: "yarn"}, {Tool: "bun"},
		{Tool: "bundler", Each: []string{"BUNDLE_{HOST__}={user%}:{token%}"}, ByName: true,
			Settings: ".bundle/config", Packages: "Gemfile Gemfile.lock gems.rb gems.locked"},
		{Tool: "composer", Once: []string{"COMPOSER_AUTH={json}"}, OwnVariable: "COMPOSER_AUTH", File: inJSON("http-basic"), Settings: "composer.json auth.json", Packages: "composer.lock"},
		{Tool: "gradle", Once: []string{"ORG_GRADLE_PROJECT_{profile}Username={user}", "ORG_GRADLE_PROJECT_{profile}Password={token}"},
			Settings: "gradle.properties", Packages: "*.gradle *.gradle.kts *.versions.toml", Deep: true},
		{Tool: "maven", Once: []string{"MAVEN_ARGS={MAVEN_ARGS} --settings {file}"}, Programs: []string{"mvn", "mvnw", "mvnd"}, Words: []string{"--settings", "{file}"},
			OwnPath: ".m2/settings.xml", File: mavenSettings, Names: mavenNames, Settings: "pom.xml .mvn/maven.config .mvn/jvm.config", Deep: true},
		netrc("poetry", index, lock, "NETRC={file}"),
		netrc("pdm", index, lock, "NETRC={file}"),
		netrc("uv", index, lock, "NETRC={file}"),
		netrc("conda", "", "environment.yml environment.yaml", "NETRC={file}"),
		netrc("hex", "", "mix.exs mix.lock", "NETRC={file}"),
		{Tool: "cargo", Each: []string{"CARGO_REGISTRIES_{NAME}_INDEX={url}", "CARGO_REGISTRIES_{NAME}_TOKEN=Bearer {token}",
			"CARGO_REGISTRIES_{NAME}_CREDENTIAL_PROVIDER=cargo:token"}, OwnVariable: "CARGO_HOME", OwnPath: ".cargo/config.toml",
			Settings: ".cargo/config.toml .cargo/config", Packages: "Cargo.toml Cargo.lock", Deep: true},
		{Tool: "terraform", Each: []string{"TF_TOKEN_{host_}={token}"}, Packages: "*.tf *.tf.json", Deep: true},
		{Tool: "deno", Once: []string{"DENO_AUTH_TOKENS={deno}"}, Below: true, Packages: "deno.json deno.jsonc deno.lock import_map.json"},
		{Tool: "docker", Once: []string{"DOCKER_AUTH_CONFIG={json}"}, OwnVariable: "DOCKER_AUTH_CONFIG", File: inJSON("auths")},
		{Tool: "nuget", Each: []string{"NuGetPackageSourceCredentials_{name}=Username={user};Password={token};ValidAuthenticationTypes=Basic"},
			OwnPath: ".nuget/NuGet/NuGet.Config", Names: nugetNames, Settings: "nuget.config", Packages: "packages.lock.json", Deep: true},
		netrc("apk", "", "", "NETRC={file}"),
		netrc("nix", "", "flake.nix flake.lock", "NIX_CONFIG={NIX_CONFIG}\nnetrc-file = {file}"),
		r,
		{Tool: "helm", Once: []string{"HELM_REGISTRY_CONFIG={file}"}, OwnVariable: "HELM_REGISTRY_CONFIG", OwnPath: ".config/helm/registry/config.json",
			File: inJSON("auths"), Packages: "Chart.yaml Chart.lock"},
		{Tool: "twine", Once: []string{"TWINE_USERNAME={user}", "TWINE_PASSWORD={token}"}, Bound: "TWINE_REPOSITORY_URL"},
	}
}

// Fill replaces the words in braces. A word that is none of those here is a variable of the command's environment.
func (g Grant) Fill(text, host string, of Registry) string {
	name := hostName(host)
	values := map[string]string{
		"user": g.User, "token": g.Token, "profile": g.Profile, "json": g.JSON, "file": g.File, "script": g.Script, "name": of.Name, "url": of.Address,
		"user%": url.QueryEscape(g.User), "token%": url.QueryEscape(g.Token),
		// Bundler, "bundle config", "Credentials for gem sources".
		"HOST__": strings.ToUpper(strings.NewReplacer(".", "__", "-", "___").Replace(name)),
		// Terraform, "Environment Variable Credentials"; it takes a port as it is.
		"host_": strings.NewReplacer("-", "__", ".", "_").Replace(name) + host[len(name):],
		// The Cargo Book, "Environment Variables".
		"NAME": strings.ToUpper(strings.ReplaceAll(of.Name, "-", "_")),
		"deno": strings.TrimPrefix(g.Getenv("DENO_AUTH_TOKENS")+";"+g.Token+"@"+strings.Join(g.Hosts, ";"+g.Token+"@"), ";"),
	}
	return regexp.MustCompile(`\{[A-Za-z_%]+\}`).ReplaceAllStringFunc(text, func(word string) string {
		if value, ok := values[word[1:len(word)-1]]; ok {
			return value
		}
		return g.Getenv(word[1 : len(word)-1])
	})
}

// Fill returns the variables, as NAME=VALUE, and the words for a program of that name.
func (r Recipe) Fill(g Grant, program string) (variables, words []string) {
	once := r.Once
	program = strings.ToLower(program)
	if slices.Contains(r.Programs, strings.TrimSuffix(strings.TrimSuffix(program, ".cmd"), ".exe")) {
		once = nil
		for _, word := range r.Words {
			words = append(words, g.Fill(word, "", Registry{}))
		}
	}
	for _, text := range once {
		variables = append(variables, g.Fill(text, "", Registry{}))
	}
	for _, text := range r.Each {
		if r.Names != nil {
			for _, of := range g.Registries {
				variables = append(variables, g.Fill(text, "", of))
			}
			continue
		}
		for _, host := range g.Hosts {
			variables = append(variables, g.Fill(text, host, Registry{}))
		}
	}
	return variables, words
}

// BoundTo reports whether the tool's one address is ours, and no word of the command names another.
func (r Recipe) BoundTo(ours func(scheme, host string) bool, g *Grant, words []string) bool {
	of := func(address string) (named, is bool) {
		a, err := url.Parse(address)
		return err != nil || a.Host != "", err == nil && a.User == nil && ours(a.Scheme, a.Host)
	}
	_, is := of(g.Getenv(r.Bound))
	return is && !slices.ContainsFunc(words, func(word string) bool {
		_, value, _ := strings.Cut(word, "=")
		return slices.ContainsFunc([]string{word, value}, func(s string) bool { named, is := of(s); return named && !is })
	})
}

// KeepNames leaves the registries whose every address is ours, one for each name. A name that is also another's is an
// error.
func (g *Grant) KeepNames(ours func(scheme, host string) bool, tool string) error {
	kept, foreign := map[string]Registry{}, map[string]bool{}
	for _, of := range g.Registries {
		key := strings.ToLower(strings.ReplaceAll(of.Name, "-", "_")) // as variables have it
		a, err := url.Parse(strings.TrimPrefix(of.Address, "sparse+"))
		if err != nil || a.User != nil || strings.ContainsAny(of.Address+of.Name, "$%") || !ours(a.Scheme, a.Host) {
			foreign[key] = true
		} else if before, ok := kept[key]; !ok || of.Fixed && !before.Fixed {
			kept[key] = of
		}
	}
	g.Registries = nil
	for _, key := range slices.Sorted(maps.Keys(kept)) {
		if foreign[key] {
			return fmt.Errorf("%q is the name of a registry of the profile, and of another: no token is handed out", kept[key].Name)
		}
		g.Registries = append(g.Registries, kept[key])
	}
	if g.Registries == nil {
		return fmt.Errorf("%s takes a token by a registry's name: no file here, and none of yours, has one at a host of the profile", tool)
	}
	return nil
}

// LeadsElsewhere returns the key of a line of settings by which requests could go another way, or with their
// certificates unchecked; "" if there is none.
func LeadsElsewhere(line string) string {
	const keys = `proxy|(?:https?|no)[_-]?proxy|[a-z0-9_.]*ssl[_-]?verify(?:[_-]mode)?|verify[_-]?ssl|\w*ssl_(?:ca|client)_cert|disable-tls|secure-http|` +
		`ca-?(?:file|path|info)|cert|allow-insecure-host|[a-z.]*ssl\.insecure`
	found := regexp.MustCompile(`(?i)(?:^|[\s{,."'])(` + keys + `)["']?\s*(?:[:=]|value\b)\s*(true)?|(proxyHost|trustStore|securityMode)`).FindStringSubmatch(line)
	if found == nil || strings.HasPrefix(strings.TrimSpace(line), "#") || found[2] != "" && regexp.MustCompile(`(?i)verify|secure-http`).MatchString(found[1]) {
		return ""
	}
	return found[1] + found[3]
}

// hostName returns a host without its port.
func hostName(host string) string {
	if colon := strings.LastIndexByte(host, ':'); colon >= 0 && !strings.HasSuffix(host, "]") {
		return host[:colon]
	}
	return host
}

// netrcFile puts the hosts before the user's own entries, of which "default" has to be the last. It is an error if one
// of these is for a host of the grant: tools differ in which of the two they take.
func netrcFile(own []byte, g Grant) ([]byte, error) {
	var text strings.Builder
	words := strings.Fields(string(own))
	var done []string
	for _, host := range g.Hosts {
		name := strings.Trim(hostName(host), "[]")
		for i, word := range words {
			if i > 0 && words[i-1] == "machine" && strings.EqualFold(word, name) {
				return nil, fmt.Errorf("your netrc has an entry for %s, which may take precedence over the token: remove it", name)
			}
		}
		if !slices.Contains(done, name) {
			done = append(done, name)
			fmt.Fprintf(&text, "machine %s login %s password %s\n", name, g.User, g.Token)
		}
	}
	return append([]byte(text.String()), own...), nil
}

// inJSON adds the hosts to an object of the user's JSON. Docker's "auths" has base64 of RFC 7617.
func inJSON(object string) func(own []byte, g Grant) ([]byte, error) {
	return func(own []byte, g Grant) ([]byte, error) {
		all, hosts := map[string]any{}, map[string]any{}
		if len(bytes.TrimSpace(own)) > 0 {
			if err := json.Unmarshal(own, &all); err != nil {
				return nil, errors.New("what you have given it already is no JSON")
			}
		}
		if given, ok := all[object].(map[string]any); ok {
			hosts = given
		}
		for _, host := range g.Hosts {
			if object == "auths" {
				hosts[host] = map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(g.User + ":" + g.Token))}
			} else {
				hosts[host] = map[string]string{"username": g.User, "password": g.Token}
			}
		}
		all[object] = hosts
		return json.Marshal(all)
	}
}

// mavenNames returns what a pom.xml or a settings.xml calls by an id. What is in a mirror or for distribution is not
// Fixed.
func mavenNames(text []byte) (all []Registry, err error) {
	if !bytes.Contains(text, []byte("<")) {
		return nil, nil // maven.config and jvm.config are words
	}
	return all, inXML(text, func(path []string, _ xml.StartElement, children map[string]string) {
		if id, address := children["id"], children["url"]; id != "" && address != "" {
			of := path[len(path)-1]
			all = append(all, Registry{id, address, strings.HasSuffix(of, "epository") && !slices.Contains(path, "distributionManagement")})
		}
	})
}

// nugetNames returns the sources of a nuget.config.
func nugetNames(text []byte) (all []Registry, err error) {
	return all, inXML(text, func(path []string, e xml.StartElement, _ map[string]string) {
		var of Registry
		for _, a := range e.Attr {
			switch strings.ToLower(a.Name.Local) {
			case "key":
				of.Name = a.Value
			case "value":
				of.Address = a.Value
			}
		}
		if len(path) > 1 && path[len(path)-2] == "packageSources" && of.Name != "" {
			all = append(all, of)
		}
	})
}

// inXML calls element at each element's end, with the names of those around it, and the texts of its children by their
// names.
func inXML(text []byte, element func(path []string, e xml.StartElement, children map[string]string)) error {
	type open struct {
		e        xml.StartElement
		text     strings.Builder
		children map[string]string
	}
	var path []string
	var stack []*open
	d := xml.NewDecoder(bytes.NewReader(text))
	// Names and addresses are ASCII, which these encodings contain; what is not can be any other character.
	d.CharsetReader = func(encoding string, r io.Reader) (io.Reader, error) {
		if !slices.Contains([]string{"iso-8859-1", "iso-8859-15", "us-ascii", "windows-1252"}, strings.ToLower(encoding)) {
			return nil, fmt.Errorf("it is in %q", encoding)
		}
		text, err := io.ReadAll(r)
		for i, c := range text {
			if c >= 0x80 {
				text[i] = '?'
			}
		}
		return bytes.NewReader(text), err
	}
	for {
		token, err := d.Token()
		switch token := token.(type) {
		case xml.StartElement:
			path, stack = append(path, token.Name.Local), append(stack, &open{e: token.Copy(), children: map[string]string{}})
		case xml.CharData:
			if len(stack) > 0 {
				stack[len(stack)-1].text.Write(token)
			}
		case xml.EndElement:
			this := stack[len(stack)-1]
			element(path, this.e, this.children)
			path, stack = path[:len(path)-1], stack[:len(stack)-1]
			if len(stack) > 0 {
				stack[len(stack)-1].children[token.Name.Local] = strings.TrimSpace(this.text.String())
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("it cannot be read as XML: %w", err)
		}
	}
}

// mavenSettings gives each registry's id the token as the password of a server, and makes the registry a mirror of its
// own id: a repository of that name with another address, as the POM of a package may have one, is then asked for at
// ours.
func mavenSettings(own []byte, g Grant) ([]byte, error) {
	var servers, mirrors strings.Builder
	escaped := func(s string) string {
		var out strings.Builder
		xml.EscapeText(&out, []byte(s)) // a strings.Builder takes all
		return out.String()
	}
	var known []string
	if err := inXML(own, func(path []string, _ xml.StartElement, children map[string]string) {
		if path[len(path)-1] == "server" {
			known = append(known, children["id"])
		}
	}); err != nil {
		return nil, fmt.Errorf("your settings.xml: %w", err)
	}
	for _, of := range g.Registries {
		if slices.Contains(known, of.Name) {
			return nil, fmt.Errorf("your settings.xml has a server %q, which may take precedence over the token: remove it", of.Name)
		}
		fmt.Fprintf(&servers, "<server><id>%s</id><username>%s</username><password>%s</password></server>", escaped(of.Name), escaped(g.User), escaped(g.Token))
		fmt.Fprintf(&mirrors, "<mirror><id>%s</id><mirrorOf>%[1]s</mirrorOf><url>%s</url></mirror>", escaped(of.Name), escaped(of.Address))
	}
	text, err := addXML(own, "servers", servers.String())
	if err != nil {
		return nil, err
	}
	return addXML(text, "mirrors", mirrors.String())
}

// addXML adds to an element of a settings.xml, which is made if it is missing.
func addXML(text []byte, element, addition string) ([]byte, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		text = []byte("<settings></settings>")
	}
	root, depth := 0, 0
	d := xml.NewDecoder(bytes.NewReader(text))
	for {
		token, err := d.Token()
		at := int(d.InputOffset())
		switch token := token.(type) {
		case xml.StartElement:
			empty := bytes.HasSuffix(text[:at], []byte("/>"))
			if depth++; depth == 1 && !empty {
				root = at
			} else if depth == 2 && token.Name.Local == element && !empty {
				return slices.Concat(text[:at], []byte(addition), text[at:]), nil
			} else if depth == 2 && token.Name.Local == element {
				return slices.Concat(text[:at-2], []byte(">"+addition+"</"+element+">"), text[at:]), nil
			}
		case xml.EndElement:
			depth--
		}
		switch {
		case errors.Is(err, io.EOF) && root > 0:
			return slices.Concat(text[:root], []byte("<"+element+">"+addition+"</"+element+">"), text[root:]), nil
		case err != nil:
			return nil, fmt.Errorf("your settings.xml cannot be read: %w", err)
		}
	}
}
