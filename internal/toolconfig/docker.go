package toolconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
)

// docker's config.json gets a member of "credHelpers" for each registry, or "credsStore" for all of them. The text is
// edited in place, so that order and indentation stay.

const (
	dockerHelpers = "credHelpers"
	dockerStore   = "credsStore"
)

func dockerFile(env Env) (string, error) {
	if folder, err := env.path("DOCKER_CONFIG"); folder != "" || err != nil {
		return filepath.Join(folder, "config.json"), err
	}
	home, err := env.home("")
	return filepath.Join(home, ".docker", "config.json"), err
}

func dockerRefuses(h config.Host) (why, remedy string) {
	if !h.Exact() {
		return "knows no wildcards", "name its registries in the profile one by one, or: clerk-credential-helper setup docker --all"
	}
	return "", ""
}

func dockerAddHosts(text []byte, hosts []Host) ([]byte, error) {
	return dockerAdd(text, hostNames(hosts))
}

func dockerRemoveHosts(text []byte, hosts []Host) ([]byte, error) {
	return dockerRemove(text, hostNames(hosts))
}

// dockerAll names us in docker's configuration, and the previous helper in our own.
func dockerAll(env Env) ([]Edit, error) {
	file, err := dockerFile(env)
	if err != nil {
		return nil, err
	}
	text, err := ReadFile(file)
	if err != nil {
		return nil, err
	}
	_, previous, err := dockerAddAll(text)
	if err != nil {
		return nil, &config.Error{Err: fmt.Errorf("%s: %w", file, err)}
	}
	without := func(text []byte) ([]byte, error) {
		text, err := dockerRemove(text, nil)
		if err != nil {
			return nil, err
		}
		return dockerRemoveAll(text, previous)
	}
	edits := []Edit{{File: file, Blank: isEmptyObject, Without: without, Change: func(text []byte) ([]byte, error) {
		edited, _, err := dockerAddAll(text)
		return edited, err
	}}}
	if previous == "" {
		return edits, nil
	}
	program, err := env.FindFallback(previous)
	if err != nil {
		return nil, fmt.Errorf("finding docker's helper %q for the other registries: %w", previous, err)
	}
	own, err := env.OwnConfig()
	if err != nil {
		return nil, err
	}
	ours := Edit{File: own, Without: func(text []byte) ([]byte, error) { return removeFallback(own, text) },
		Change: func(text []byte) ([]byte, error) { return addFallback(own, text, program) }}
	// Ours first: docker must not call us before we have the fallback.
	return slices.Insert(edits, 0, ours), nil
}

// registriesFile is below the home folder (containers-registries.conf(5)).
const registriesFile = ".config/containers/registries.conf"

// dockerAllAfter returns what is left to do by hand for those who read docker's file but not its credsStore
// (containers-registries.conf(5), "credential-helpers").
func dockerAllAfter(env Env) []string {
	if !slices.ContainsFunc([]string{"podman", "skopeo", "buildah"}, func(name string) bool {
		_, err := env.LookPath(name)
		return err == nil
	}) {
		return nil
	}
	home, err := env.home("")
	if err != nil {
		return nil
	}
	return []string{
		"podman, skopeo and buildah do not read credsStore. For them write into " + shownInHome(home, registriesFile) + ", above its tables:",
		`  credential-helpers = ["containers-auth.json", "clerk"]`,
	}
}

// dockerLeft returns what dockerAllAfter has had the user write.
func dockerLeft(env Env) ([]string, error) {
	home, err := env.home("")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(home, filepath.FromSlash(registriesFile))
	text, err := ReadFile(file)
	if err != nil {
		return nil, nil // it is not ours to judge
	}
	for line := range strings.Lines(string(text)) {
		if key, value, _ := strings.Cut(line, "="); strings.TrimSpace(key) == "credential-helpers" && strings.Contains(value, `"clerk"`) {
			return []string{file + ` still names "clerk" in credential-helpers: remove it there`}, nil
		}
	}
	return nil, nil
}

// dockerUndoAll also makes the previous helper docker's store again, and removes it from our own configuration.
func dockerUndoAll(env Env, docker Edit) ([]Edit, error) {
	own, err := env.OwnConfig()
	if err != nil {
		return nil, err
	}
	text, err := ReadFile(own)
	if err != nil {
		return nil, err
	}
	ours, err := config.Parse(own, text)
	if err != nil {
		return nil, &config.Error{Err: err}
	}
	previous := ""
	if ours.DockerFallback != "" {
		previous = strings.TrimPrefix(platform.CalledName(ours.DockerFallback), "docker-credential-")
	}
	docker.Change = func(text []byte) ([]byte, error) {
		text, err := dockerRemove(text, nil)
		if err != nil {
			return nil, err
		}
		return dockerRemoveAll(text, previous)
	}
	if previous == "" {
		return []Edit{docker}, nil
	}
	remove := func(text []byte) ([]byte, error) { return removeFallback(own, text) }
	return []Edit{docker, {File: own, Undo: true, Blank: isBlank, Without: remove, Change: remove}}, nil
}

func isEmptyObject(text []byte) bool { return string(bytes.Join(bytes.Fields(text), nil)) == "{}" }

// DockerName is what docker calls us: docker-credential-clerk.
const DockerName = "clerk"

// dockerAdd makes us the helper of the hosts. It is an error if a host has another helper, which would be lost.
func dockerAdd(text []byte, hosts []string) ([]byte, error) {
	if isBlank(text) {
		return slices.Concat([]byte("{\n\t\"credHelpers\": {\n\t\t"), dockerMembers(hosts, ": ", ",\n\t\t"), []byte("\n\t}\n}\n")), nil
	}
	top, docker, err := parseDocker(text)
	if err != nil {
		return nil, err
	}
	var lacking []string
	for _, host := range hosts {
		switch helper, named := docker.CredHelpers[host]; {
		case helper == DockerName, !named && docker.CredsStore == DockerName:
		case !named:
			lacking = append(lacking, host)
		case helper == "": // docker then takes its password from this file (docker/cli, config/configfile)
			return nil, fmt.Errorf("%q is set to use no helper: remove that line", host)
		default:
			return nil, fmt.Errorf("%q has the helper %q already: remove that line, or leave the host to that helper", host, helper)
		}
	}
	if lacking == nil {
		return text, nil
	}
	style := top.style(text)
	helpers := top.member(dockerHelpers)
	if helpers != nil && isNull(text, helpers) {
		text = replaceSpan(text, helpers.value, "{}")
		top = scanObject(text, top.start)
		helpers = top.member(dockerHelpers)
	}
	if helpers == nil {
		inner := style.nested()
		value := slices.Concat([]byte("{"), []byte(inner.lead), dockerMembers(lacking, style.colon, ","+inner.separator()), []byte(inner.tail), []byte("}"))
		return top.insert(text, style, slices.Concat([]byte(`"credHelpers"`+style.colon), value)), nil
	}
	object := scanObject(text, helpers.value.start)
	inner := object.style(text)
	if len(object.members) == 0 {
		inner = style.nested()
	}
	return object.insert(text, inner, dockerMembers(lacking, style.colon, ","+inner.separator())), nil
}

func dockerMembers(hosts []string, colon, separator string) []byte {
	var members []string
	for _, host := range hosts {
		members = append(members, fmt.Sprintf("%q%s%q", host, colon, DockerName))
	}
	return []byte(strings.Join(members, separator))
}

// dockerRemove removes us from the hosts, or from all hosts if hosts is nil, and "credHelpers" too if it is empty then.
func dockerRemove(text []byte, hosts []string) ([]byte, error) {
	if isBlank(text) {
		return text, nil
	}
	top, docker, err := parseDocker(text)
	if err != nil {
		return nil, err
	}
	for host, helper := range docker.CredHelpers {
		if helper != DockerName || hosts != nil && !slices.Contains(hosts, host) {
			continue
		}
		top = scanObject(text, top.start)
		helpers := top.member(dockerHelpers)
		object := scanObject(text, helpers.value.start)
		if len(object.members) == 1 {
			text = top.remove(text, helpers)
		} else {
			text = object.remove(text, object.member(host))
		}
	}
	return text, nil
}

// dockerWithout removes everything of ours. It does not know of a previous "credsStore", and restores none.
func dockerWithout(text []byte) ([]byte, error) {
	text, err := dockerRemove(text, nil)
	if err != nil {
		return nil, err
	}
	return dockerRemoveAll(text, "")
}

// dockerAgain re-applies setup, so that a backup can be compared with an undo that lost an empty object's whitespace.
func dockerAgain(text []byte, hosts []Host) ([]byte, error) {
	if hosts == nil {
		hosts = []Host{{Name: "registry.invalid"}}
	}
	return dockerAddHosts(text, hosts)
}

// dockerAddAll makes us the helper of every registry. It returns the previous one, or "".
func dockerAddAll(text []byte) (edited []byte, previous string, err error) {
	if isBlank(text) {
		return []byte("{\n\t\"credsStore\": \"clerk\"\n}\n"), "", nil
	}
	top, docker, err := parseDocker(text)
	if err != nil {
		return nil, "", err
	}
	switch store := top.member(dockerStore); {
	case docker.CredsStore == DockerName:
		return text, "", nil
	case store != nil:
		return replaceSpan(text, store.value, `"clerk"`), docker.CredsStore, nil
	}
	style := top.style(text)
	return top.insert(text, style, []byte(`"credsStore"`+style.colon+`"clerk"`)), "", nil
}

// dockerRemoveAll makes previous the helper of every registry again; "" means that there was none.
func dockerRemoveAll(text []byte, previous string) ([]byte, error) {
	if isBlank(text) {
		return text, nil
	}
	top, docker, err := parseDocker(text)
	if err != nil {
		return nil, err
	}
	store := top.member(dockerStore)
	switch {
	case docker.CredsStore != DockerName:
		return text, nil
	case previous == "":
		return top.remove(text, store), nil
	}
	name, err := json.Marshal(previous)
	if err != nil {
		return nil, err
	}
	return replaceSpan(text, store.value, string(name)), nil
}

// Docker is the part of docker's config.json that matters here (docker/cli, config/configfile). Keys are registries.
type Docker struct {
	Auths       map[string]struct{ Auth, IdentityToken string } // stored in the file itself, in the clear
	CredHelpers map[string]string                               // helpers, without "docker-credential-"
	CredsStore  string                                          // the helper of all other registries
}

func isBlank(text []byte) bool { return len(bytes.TrimSpace(text)) == 0 }

// parseDocker checks that docker can read the text, and returns its top object. Errors begin with the line.
func parseDocker(text []byte) (jsonObject, Docker, error) {
	var all map[string]json.RawMessage
	var docker Docker
	for _, into := range []any{&all, &docker} {
		err := json.Unmarshal(text, into)
		var syntax *json.SyntaxError
		var kind *json.UnmarshalTypeError
		switch {
		case errors.As(err, &syntax) && bytes.HasPrefix(text, []byte("\ufeff")):
			return jsonObject{}, docker, errors.New("line 1: it begins with a byte order mark, which docker does not accept: save it as UTF-8 without one")
		case errors.As(err, &syntax) && len(bytes.Trim(text, "\x00")) == 0:
			return jsonObject{}, docker, errors.New("line 1: it is nothing but zeros, as a full disk or a power cut leaves a file")
		case errors.As(err, &syntax) && bytes.IndexByte(text, 0) >= 0:
			return jsonObject{}, docker, errors.New("line 1: it is UTF-16, which docker does not accept: save it as UTF-8")
		case errors.As(err, &syntax):
			return jsonObject{}, docker, fmt.Errorf("line %d: %w", lineOf(text, int(syntax.Offset)), err)
		case errors.As(err, &kind):
			return jsonObject{}, docker, fmt.Errorf("line %d: %q is not of the type that docker expects", lineOf(text, int(kind.Offset)), kind.Field)
		case err != nil:
			return jsonObject{}, docker, err
		}
	}
	start := bytes.IndexByte(text, '{')
	if start < 0 {
		return jsonObject{}, docker, errors.New("line 1: it is not a JSON object")
	}
	top := scanObject(text, start)
	// Go's decoder, and so docker, ignores case and takes the last of several.
	for _, name := range []string{dockerHelpers, dockerStore} {
		n := 0
		for _, m := range top.members {
			if strings.EqualFold(m.name, name) {
				n++
				if m.name != name || n > 1 {
					return jsonObject{}, docker, fmt.Errorf("line %d: %q is there twice or in another spelling", lineOf(text, m.start), name)
				}
			}
		}
	}
	if m := top.member(dockerHelpers); m != nil && text[m.value.start] != '{' && !isNull(text, m) {
		return jsonObject{}, docker, fmt.Errorf("line %d: %q is not an object", lineOf(text, m.start), dockerHelpers)
	}
	if m := top.member(dockerStore); m != nil && text[m.value.start] != '"' && !isNull(text, m) {
		return jsonObject{}, docker, fmt.Errorf("line %d: %q is not text", lineOf(text, m.start), dockerStore)
	}
	if m := top.member(dockerHelpers); m != nil && !isNull(text, m) {
		names := map[string]bool{}
		for _, m := range scanObject(text, m.value.start).members {
			if names[m.name] {
				return jsonObject{}, docker, fmt.Errorf("line %d: %q is there twice", lineOf(text, m.start), m.name)
			}
			names[m.name] = true
		}
	}
	return top, docker, nil
}

// isNull reports whether a member is null, which docker takes for a missing one.
func isNull(text []byte, m *jsonMember) bool { return text[m.value.start] == 'n' }

func lineOf(text []byte, offset int) int {
	return 1 + bytes.Count(text[:min(max(offset, 0), len(text))], []byte("\n"))
}

// jsonObject is the position of an object in a valid JSON text.
type jsonObject struct {
	span
	members []jsonMember
}

type jsonMember struct {
	span  // from the name's quote to the value's end
	name  string
	colon span // between name and value
	value span
}

// jsonStyle is how an object is laid out.
type jsonStyle struct {
	lead, tail string // the blanks after the opening brace and before the closing one
	colon      string
}

func (o jsonObject) member(name string) *jsonMember {
	for i := range o.members {
		if o.members[i].name == name {
			return &o.members[i]
		}
	}
	return nil
}

// scanObject reads the object that begins at start in a valid text.
func scanObject(text []byte, start int) jsonObject {
	o := jsonObject{span: span{start: start}}
	at := start + 1
	blanks := func() {
		for strings.IndexByte(" \t\r\n", text[at]) >= 0 {
			at++
		}
	}
	for {
		if blanks(); text[at] == '}' {
			o.end = at + 1
			return o
		}
		if text[at] == ',' {
			at++
			blanks()
		}
		var m jsonMember
		m.start = at
		at = endOfValue(text, at)
		json.Unmarshal(text[m.start:at], &m.name)
		m.colon.start = at
		blanks()
		at++ // the colon
		blanks()
		m.colon.end, m.value.start = at, at
		at = endOfValue(text, at)
		m.value.end, m.end = at, at
		o.members = append(o.members, m)
	}
}

// endOfValue returns the end of the value that begins at at.
func endOfValue(text []byte, at int) int {
	depth := 0
	for {
		switch text[at] {
		case '"':
			for at++; text[at] != '"'; at++ {
				if text[at] == '\\' {
					at++
				}
			}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		at++
		if depth == 0 && (strings.IndexByte(`"}]`, text[at-1]) >= 0 || strings.IndexByte(" \t\r\n,}]", text[at]) >= 0) {
			return at
		}
	}
}

func (o jsonObject) style(text []byte) jsonStyle {
	s := jsonStyle{colon: ": "}
	if len(o.members) == 0 {
		if bytes.Contains(text[o.start:o.end], []byte("\n")) {
			end := lineEnd(text)
			s.lead, s.tail = end+"\t", end
		}
		return s
	}
	first, last := o.members[0], o.members[len(o.members)-1]
	s.lead = string(text[o.start+1 : first.start])
	s.tail = string(text[last.end : o.end-1])
	s.colon = string(text[first.colon.start:first.colon.end])
	return s
}

// separator returns the blanks between two members, after the comma.
func (s jsonStyle) separator() string {
	if s.lead == "" && s.colon != ":" {
		return " "
	}
	return s.lead
}

// nested returns the style of an object one level deeper.
func (s jsonStyle) nested() jsonStyle {
	i := strings.LastIndexByte(s.lead, '\n')
	if i < 0 {
		return jsonStyle{colon: s.colon}
	}
	outer := s.tail[strings.LastIndexByte(s.tail, '\n')+1:]
	unit := strings.TrimPrefix(s.lead[i+1:], outer)
	return jsonStyle{lead: s.lead + unit, tail: s.lead, colon: s.colon}
}

// insert adds members at the end of the object.
func (o jsonObject) insert(text []byte, style jsonStyle, members []byte) []byte {
	if len(o.members) == 0 {
		return slices.Concat(text[:o.start+1], []byte(style.lead), members, []byte(style.tail), text[o.end-1:])
	}
	last := o.members[len(o.members)-1].end
	return slices.Concat(text[:last], []byte(","+o.between(text, style)), members, text[last:])
}

// between returns the blanks between the last two members, after the comma.
func (o jsonObject) between(text []byte, style jsonStyle) string {
	if n := len(o.members); n > 1 {
		return strings.Replace(string(text[o.members[n-2].end:o.members[n-1].start]), ",", "", 1)
	}
	return style.separator()
}

// remove removes a member and what separated it from its neighbour.
func (o jsonObject) remove(text []byte, m *jsonMember) []byte {
	i := slices.IndexFunc(o.members, func(other jsonMember) bool { return other.start == m.start })
	switch {
	case len(o.members) == 1:
		return slices.Concat(text[:o.start+1], text[o.end-1:])
	case i == 0:
		return slices.Concat(text[:m.start], text[o.members[1].start:])
	}
	return slices.Concat(text[:o.members[i-1].end], text[m.end:])
}

func replaceSpan(text []byte, at span, by string) []byte {
	return slices.Concat(text[:at.start], []byte(by), text[at.end:])
}

// fallbackLines are the lines that name docker's previous helper in our own configuration.
func fallbackLines(program string) []string {
	return []string{"", "[docker]", fmt.Sprintf("fallback = %q", program)}
}

// addFallback adds docker's previous helper to our own configuration.
func addFallback(file string, text []byte, program string) ([]byte, error) {
	present, err := config.Parse(file, text)
	if err != nil {
		return nil, err
	}
	switch present.DockerFallback {
	case program, strings.TrimPrefix(platform.CalledName(program), "docker-credential-"):
		return text, nil
	case "":
	default:
		return nil, fmt.Errorf("%s names the fallback %q already, and docker has %q: remove one", file, present.DockerFallback, program)
	}
	lines := fallbackLines(program)
	if isBlank(text) {
		lines = lines[1:]
	}
	edited := AppendLines(text, lines)
	if _, err := config.Parse(file, edited); err != nil {
		return nil, err
	}
	return edited, nil
}

// removeFallback removes the lines that addFallback has written.
func removeFallback(file string, text []byte) ([]byte, error) {
	present, err := config.Parse(file, text)
	if err != nil {
		return nil, err
	}
	if present.DockerFallback == "" {
		return text, nil
	}
	lines := fallbackLines(present.DockerFallback)
	at, ok := findLines(text, lines)
	if !ok {
		at, ok = findLines(text, lines[1:])
	}
	if !ok {
		return text, nil
	}
	return cutLines(text, []span{at}), nil
}

// ReadDocker reads docker's configuration as docker does: $DOCKER_CONFIG/config.json or ~/.docker/config.json, of at most
// 1 MiB. file is empty if there is no home folder; a missing file is no error. Errors about the text begin with its line.
func ReadDocker(env Env) (file string, docker Docker, err error) {
	if file, err = dockerFile(env); err != nil {
		return "", docker, err
	}
	text, err := ReadFile(file)
	if err != nil || isBlank(text) {
		return file, docker, err
	}
	_, docker, err = parseDocker(text)
	return file, docker, err
}

// Helper returns the helper that docker asks for a host, "" for none. named reports whether the file names it for this
// host, not for all.
func (d Docker) Helper(host string) (name string, named bool) {
	if name, named = d.CredHelpers[host]; named {
		return name, true
	}
	return d.CredsStore, false
}

// HoldsSecret reports whether the file holds a password or a token for a host in the clear.
func (d Docker) HoldsSecret(host string) bool {
	return d.Auths[host].Auth != "" || d.Auths[host].IdentityToken != ""
}
