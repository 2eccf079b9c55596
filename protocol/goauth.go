package protocol

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// GOAUTH is the protocol of the go command's authenticators ("go help goauth", since Go 1.24). The go command calls
// twice: before its first fetch, and with a URL after an answer of 400 to 499.
type GOAUTH struct {
	// URL is what the go command adds to the command line of the second call. Empty for the first.
	URL string
}

// goauthMaxResponse bounds the head of a response. Go's own servers and clients stop at 1 MiB too.
const goauthMaxResponse = 1 << 20

// ReadRequest makes an AllLiveTokens of the first call, for which nothing is read, and a Get of the second, which brings the head
// of the server's answer: a status line and header lines, up to a blank line or the end. An answer other than 401 and
// 403 is most often a module that does not exist, which is no reason to ask for a sign-in.
func (g GOAUTH) ReadRequest(_ Verb, r io.Reader) (Request, error) {
	if g.URL == "" {
		return Request{Verb: AllLiveTokens, NeverAsk: true}, nil
	}
	req, err := readTarget(g.URL)
	if err != nil {
		return Request{Verb: Get}, err
	}
	if req.Scheme != "https" {
		return Request{Verb: Get}, fmt.Errorf("%q needs https, as the go command asks for", Shown(g.URL))
	}
	if err := req.setResponse(r); err != nil {
		return Request{Verb: Get}, err
	}
	return req, nil
}

// setResponse parses the status and the challenges of a response's head. Without a head the caller is a person at a
// terminal.
func (req *Request) setResponse(r io.Reader) error {
	limited := &io.LimitedReader{R: r, N: goauthMaxResponse + 1}
	lines := bufio.NewReader(limited)
	for n := 1; ; n++ {
		line, err := lines.ReadString('\n')
		if err != nil && err != io.EOF {
			return fmt.Errorf("read the response: %w", err)
		}
		if limited.N == 0 {
			return fmt.Errorf("the response is larger than %d bytes", goauthMaxResponse)
		}
		if n == 1 {
			if err := checkStart([]byte(line)); err != nil {
				return err
			}
		}
		end := err == io.EOF
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if line == "" {
			return nil
		}
		if hasControl(strings.ReplaceAll(line, "\t", " ")) { // a header's value may hold tabs (RFC 9110, section 5.5)
			return fmt.Errorf("there is a control character in line %d of the response", n)
		}
		if n == 1 {
			version, rest, _ := strings.Cut(line, " ")
			code, _, _ := strings.Cut(rest, " ")
			status, err := strconv.ParseUint(code, 10, 16)
			if err != nil || len(code) != 3 || !strings.HasPrefix(version, "HTTP/") {
				return errors.New("want the head of a response on standard input, such as HTTP/1.1 401 Unauthorized")
			}
			req.Unauthorized = status == 401
			req.NeverAsk = status != 401 && status != 403
		} else if name, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(name, "WWW-Authenticate") {
			req.Challenges = append(req.Challenges, strings.TrimSpace(value))
		}
		if end {
			return nil
		}
	}
}

// WriteReply writes a block for each host: its URL, a blank line, the header, a blank line, all ended by LF. No
// credentials are no output and status 0. A block without a header would delete what the go command has, so there is
// none. What a person should know goes to stderr with status 1, which "go -x" shows.
func (GOAUTH) WriteReply(stdout, stderr io.Writer, req Request, reply Reply) (int, error) {
	tokens := reply.Tokens
	switch {
	case reply.Result == Found && req.Verb == Get:
		tokens = map[string]Credential{req.Host: reply.Credential}
	case reply.Result == Found:
	case reply.Err != nil && req.Verb == Get:
		WriteMessage(stderr, reply.Err, reply.Hint)
		return 1, nil
	default:
		WriteMessage(stderr, reply.Err, reply.Hint)
		return 0, nil
	}
	var out bytes.Buffer
	for _, host := range slices.Sorted(maps.Keys(tokens)) {
		if host == "" || hasControl(host) || strings.ContainsAny(host, " /?#@") {
			return 1, errors.New("a host cannot be written: it is empty or holds a byte that no host has")
		}
		header, err := goauthHeader(req, tokens[host])
		if err != nil {
			return 1, err
		}
		fmt.Fprintf(&out, "https://%s\n\nAuthorization: %s\n\n", host, header)
	}
	return write(stdout, 0, out.Bytes())
}

// goauthHeader is Bearer, unless the server has asked for Basic and not for Bearer.
func goauthHeader(req Request, c Credential) (string, error) {
	header, err := authorization(c)
	if err != nil {
		return "", err
	}
	if schemes := req.schemes(); !schemes["basic"] || schemes["bearer"] {
		return header, nil
	}
	if c.Username == "" || hasControl(c.Username) || strings.Contains(c.Username, ":") {
		return "", errors.New("the user name cannot be written: it is empty or holds a byte that Basic cannot carry")
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.Username+":"+c.Token)), nil
}
