package protocol

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Git is git's credential protocol (git-credential(1), gitcredentials(7)): key=value lines, one verb per process.
type Git struct{}

const (
	// gitMaxLine is git's own limit of a line with its newline (git-credential(1), "INPUT/OUTPUT FORMAT").
	gitMaxLine = 65535
	// gitMaxLines and gitMaxRequest are ours. A request of git has about ten lines; more come only from servers
	// that send very many WWW-Authenticate headers.
	gitMaxLines   = 1000
	gitMaxRequest = 1 << 20
)

// ReadRequest reads key=value lines up to a blank line or the end of r. All lines end with LF, as git writes them, or all
// with CR LF, as shells on Windows do; after lines that end with LF the blank line may be a CR LF, with which PowerShell
// ends what it sends, if nothing follows it. Any other control byte is an error, because other readers would see a line's
// end there (CVE-2020-5260, CVE-2024-50338, CVE-2024-52006): a CR that an address has brought into one value never comes
// with a CR behind all others. Unknown keys are ignored. A request without a protocol or without a host comes back with an empty Host: it must match nothing
// (CVE-2020-11008). For the verb capability, and for verbs that git may invent, nothing is read.
func (Git) ReadRequest(verb Verb, r io.Reader) (Request, error) {
	req := Request{Verb: verb}
	if verb != Get && verb != Store && verb != Erase {
		return req, nil
	}
	br := bufio.NewReaderSize(r, gitMaxLine)
	size, lineEnd := 0, ""
	for n := 1; ; n++ {
		line, err := br.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return Request{Verb: verb}, fmt.Errorf("line %d of the request is longer than %d bytes", n, gitMaxLine)
		}
		if err != nil && err != io.EOF {
			return Request{Verb: verb}, fmt.Errorf("read the request: %w", err)
		}
		if size += len(line); n > gitMaxLines || size > gitMaxRequest {
			return Request{Verb: verb}, fmt.Errorf("the request is larger than %d lines or %d bytes", gitMaxLines, gitMaxRequest)
		}
		end := err == io.EOF
		if n == 1 {
			if err := checkStart(line); err != nil {
				return Request{Verb: verb}, err
			}
		}
		if !end {
			text, this := cutLineEnd(line)
			last := lineEnd == "LF" && this == "CR LF" && len(text) == 0 && atEnd(br)
			if lineEnd != "" && this != lineEnd && !last {
				return Request{Verb: verb}, fmt.Errorf("line %d of the request ends with %s, and the lines before it with %s", n, this, lineEnd)
			}
			line, lineEnd = text, this
		}
		if len(line) == 0 {
			break
		}
		if err := req.setGit(string(line)); err != nil {
			return Request{Verb: verb}, fmt.Errorf("line %d of the request: %w", n, err)
		}
		if end {
			break
		}
	}
	if req.Sent == AuthBasic {
		user, password, ok := decodeBasic(req.Secret)
		if req.Secret = password; ok && req.Username == "" {
			req.Username = user
		}
	}
	if req.Scheme == "" {
		req.Host = "" // An empty scheme stands for https on other wires. Not on this one.
	}
	return req, nil
}

// cutLineEnd cuts the line's end off and names it.
func cutLineEnd(line []byte) (text []byte, end string) {
	text = bytes.TrimSuffix(line, []byte("\n"))
	if text, crlf := bytes.CutSuffix(text, []byte("\r")); crlf {
		return text, "CR LF"
	}
	return text, "LF"
}

// atEnd reports whether nothing follows. A read error counts as something.
func atEnd(r *bufio.Reader) bool {
	_, err := r.Peek(1)
	return err == io.EOF
}

// decodeBasic parses the credentials of a Basic header (RFC 7617 §2).
func decodeBasic(credential string) (user, password string, ok bool) {
	text, err := base64.StdEncoding.DecodeString(credential)
	if err != nil || hasControl(string(text)) {
		return "", "", false
	}
	return strings.Cut(string(text), ":")
}

// setGit adds one line to the request. Its errors never hold the value, which may be a password.
func (req *Request) setGit(line string) error {
	key, value, ok := strings.Cut(line, "=")
	if !ok || key == "" {
		return errors.New("want key=value")
	}
	if hasControl(key) {
		return errors.New("there is a control character in the key")
	}
	checked := value
	if key == "wwwauth[]" {
		// A header's value may hold tabs (RFC 9110, section 5.5).
		checked = strings.ReplaceAll(value, "\t", " ")
	}
	if hasControl(checked) {
		return fmt.Errorf("there is a control character in the value of %.40q", Shown(key))
	}
	switch key {
	case "protocol":
		req.Scheme = value
	case "host":
		req.Host = value
	case "path":
		req.Path = value
	case "username":
		req.Username = value
	case "password", "credential":
		req.Secret, req.HasSecret = value, true
	case "authtype":
		switch strings.ToLower(value) {
		case "basic":
			req.Sent = AuthBasic
		case "bearer":
			req.Sent = AuthBearer
		}
	case "capability[]":
		// An empty value empties the list, as in git-credential(1).
		req.Authtype = value == "authtype" || value != "" && req.Authtype
		req.State = value == "state" || value != "" && req.State
	case "wwwauth[]":
		req.Challenges = append(req.Challenges, value)
		if value == "" {
			req.Challenges = nil
		}
	case "url":
		*req = Request{Verb: req.Verb} // All that came before is forgotten, as git does.
		return req.setGitURL(value)
	}
	return nil
}

// setGitURL parses scheme://[user[:password]@]host[/path] as git's credential_from_url does: the user ends at the first
// "@", so that a second one stays in the host, which then matches nothing.
func (req *Request) setGitURL(raw string) error {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok || scheme == "" {
		return errors.New("want scheme://host in the value of \"url\"")
	}
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, path = rest[:i], strings.Trim(rest[i:], "/")
	}
	user, password := "", ""
	if before, after, ok := strings.Cut(authority, "@"); ok {
		authority = after
		user, password, req.HasSecret = strings.Cut(before, ":")
	}
	req.Scheme = scheme
	for _, part := range []struct {
		raw string
		to  *string
	}{{user, &req.Username}, {password, &req.Secret}, {authority, &req.Host}, {path, &req.Path}} {
		decoded, err := url.PathUnescape(part.raw)
		if err != nil { // Its text would repeat the raw value.
			return errors.New("there is a bad percent-encoding in the value of \"url\"")
		}
		if hasControl(decoded) {
			return errors.New("there is an encoded control character in the value of \"url\"")
		}
		*part.to = decoded
	}
	return nil
}

// WriteReply writes the answer for git. Nothing found is silence and status 0, so that git asks the next helper;
// Refused is quit=1, which ends git's search for this host. Only Failed, and a reply that may not be written, have
// status 1. Verbs that are not known are answered with silence and status 0.
func (Git) WriteReply(stdout, stderr io.Writer, req Request, reply Reply) (int, error) {
	var out []byte
	switch req.Verb {
	case Get:
		switch reply.Result {
		case Found:
			var err error
			if out, err = gitCredential(req, reply.Credential); err != nil {
				return 1, err
			}
		case Refused:
			out = []byte("quit=1\n")
		}
	case Capability:
		// state is the other capability that git knows. We keep none.
		out = []byte("version 0\ncapability authtype\n")
	case Store, Erase:
	default:
		return 0, nil
	}
	WriteMessage(stderr, reply.Err, reply.Hint)
	if reply.Result == Failed {
		return 1, nil
	}
	return write(stdout, 0, out)
}

// gitCredential is the answer to get. It never contains an oauth_refresh_token: git passes what it gets to every other
// helper's store.
func gitCredential(req Request, c Credential) ([]byte, error) {
	if c.Token == "" {
		return nil, errors.New("there is no token to write")
	}
	var lines []string
	switch {
	case c.bearer(req):
		lines = gitHeader("Bearer", c.Token)
	case c.Username == "":
		return nil, errors.New("there is no user name to write")
	case hasControl(c.Username) || hasControl(c.Token): // Basic would encode it
		return nil, errors.New("the user name or the token cannot be written: it holds a control character")
	case !req.Authtype:
		lines = []string{"username=" + c.Username, "password=" + c.Token}
	case strings.Contains(c.Username, ":"):
		return nil, errors.New("the user name cannot be written: Basic allows no colon in it")
	default:
		lines = gitHeader("Basic", base64.StdEncoding.EncodeToString([]byte(c.Username+":"+c.Token)))
	}
	if !c.Expires.IsZero() {
		lines = append(lines, "password_expiry_utc="+strconv.FormatInt(c.Expires.Unix(), 10))
	}
	var out []byte
	for _, line := range lines {
		if hasControl(line) || len(line) >= gitMaxLine {
			key, _, _ := strings.Cut(line, "=")
			return nil, fmt.Errorf("the %s cannot be written: it is too long or holds a control character", key)
		}
		out = append(append(out, line...), '\n')
	}
	return out, nil
}

// gitHeader has git send an Authorization header as it is. git leaves a password to curl, which sends it only in a form
// that the server asks for, and prefers Digest and NTLM to Basic. ephemeral keeps other helpers from storing the token.
func gitHeader(scheme, credential string) []string {
	return []string{"capability[]=authtype", "authtype=" + scheme, "credential=" + credential, "ephemeral=1"}
}

// bearer reports whether git is to send the token in a Bearer header: only if git offered to (authtype), and then by the
// credential's Auth. Auto is Bearer where the server names schemes and Basic is none of them.
func (c Credential) bearer(req Request) bool {
	schemes := req.schemes()
	return req.Authtype && (c.Auth == AuthBearer || c.Auth == AuthAuto && len(schemes) > 0 && !schemes["basic"])
}

// Prefers reports whether curl prefers another scheme that the server names to the password of Basic (CURLOPT_HTTPAUTH(3),
// "CURLAUTH_ANY"). It sends no Basic then. Negotiate is not one of them: git gives it up.
func (req Request) Prefers() bool {
	schemes := req.schemes()
	return schemes["ntlm"] || schemes["digest"]
}

// InvalidToken reports whether the server has seen a token and calls it expired, revoked or malformed (RFC 6750 §3.1).
func (req Request) InvalidToken() bool {
	return slices.ContainsFunc(req.Challenges, func(challenge string) bool {
		return strings.Contains(strings.ToLower(challenge), `error="invalid_token"`)
	})
}

// NamesIssuer reports whether the server has said where the metadata of its own resource is, which names the issuer of its
// tokens (RFC 9728 §5.1). The host is then one that can be typed in a command.
func (req Request) NamesIssuer() bool {
	if req.Host == "" || strings.Trim(req.Host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:[]") != "" {
		return false
	}
	own := strings.ToLower(`resource_metadata="` + req.Scheme + "://" + req.Host + "/")
	return slices.ContainsFunc(req.Challenges, func(challenge string) bool { return strings.Contains(strings.ToLower(challenge), own) })
}

// schemes returns the schemes that the server has named, in lower case.
func (req Request) schemes() map[string]bool {
	named := map[string]bool{}
	for _, challenge := range req.Challenges {
		for _, scheme := range authSchemes(challenge) {
			named[strings.ToLower(scheme)] = true
		}
	}
	return named
}

// ChallengeError means that git can send no token in a form for which the server asks.
type ChallengeError struct {
	Host string
	// Schemes are those that the server names, in lower case and sorted.
	Schemes []string
	// Fixed reports that git could send Bearer, and the profile allows Basic only.
	Fixed bool
}

func (e *ChallengeError) Error() string {
	what := "this git cannot send"
	if e.Fixed {
		what = "the profile's git_auth does not allow"
	}
	schemes := strings.Join(e.Schemes[:min(len(e.Schemes), 5)], ", ")
	return fmt.Sprintf("%q accepts %.100s, which %s", Shown(e.Host), schemes, what)
}

// CheckChallenges returns a [*ChallengeError] if the server has named its schemes, and the token would be the password
// of Basic, which is not one of them. git sends nothing then, and reports that the server has refused the token.
func (req Request) CheckChallenges(auth Auth) error {
	schemes := req.schemes()
	if len(schemes) == 0 || schemes["basic"] || (Credential{Auth: auth}).bearer(req) {
		return nil
	}
	return &ChallengeError{Host: req.Host, Schemes: slices.Sorted(maps.Keys(schemes)), Fixed: req.Authtype}
}

// authSchemes lists the schemes that a WWW-Authenticate value names. One value may hold several challenges, separated
// by the same commas as their parameters; a parameter is a token with "=" after it (RFC 9110, sections 11.3 and
// 11.6.1).
func authSchemes(value string) []string {
	var schemes []string
	for value != "" {
		var element string
		element, value = cutElement(value)
		element = strings.Trim(element, " \t")
		end := strings.IndexAny(element, " \t=")
		if end < 0 {
			end = len(element)
		}
		if end > 0 && !strings.HasPrefix(strings.TrimLeft(element[end:], " \t"), "=") {
			schemes = append(schemes, element[:end])
		}
	}
	return schemes
}

// cutElement cuts a list at its first comma outside a quoted string.
func cutElement(list string) (element, rest string) {
	quoted := false
	for i := 0; i < len(list); i++ {
		switch {
		case quoted && list[i] == '\\':
			i++
		case list[i] == '"':
			quoted = !quoted
		case list[i] == ',' && !quoted:
			return list[:i], list[i+1:]
		}
	}
	return list, ""
}

// hasControl reports whether s holds an ASCII control character: LF ends git's lines, and CR or NUL end them for
// careless readers.
func hasControl(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] == 0x7f {
			return true
		}
	}
	return false
}

// write writes an answer at once, so that a reader sees all of it or none, and returns status, or 1 if it cannot.
func write(w io.Writer, status int, out []byte) (int, error) {
	if len(out) == 0 {
		return status, nil
	}
	if _, err := w.Write(out); err != nil {
		return 1, fmt.Errorf("write the reply: %w", err)
	}
	return status, nil
}
