package protocol

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// sniffMax is more than the longest key that git sends first.
const sniffMax = 64

// Sniff returns which wire a request is written in, "git" or "docker", from its verb or else from the first bytes of r,
// none of which it consumes. Git's requests begin with a key and "="; everything else is docker's: a URL, a bare host,
// a JSON object. It reads no further than the first byte that decides. No input at all, and a verb that neither wire
// has, are errors.
func Sniff(verb Verb, r *bufio.Reader) (string, error) {
	switch verb {
	case Get, Store, Erase:
	case Capability:
		return "git", nil
	case List, Version:
		return "docker", nil
	default:
		return "", fmt.Errorf("unknown verb %q", Shown(string(verb)))
	}
	for n := 1; n <= sniffMax; n++ {
		first, err := r.Peek(n)
		if errors.Is(err, io.EOF) && n == 1 {
			return "", errors.New("nothing on standard input: want git's key=value lines or docker's server URL")
		}
		if errors.Is(err, io.EOF) || errors.Is(err, bufio.ErrBufferFull) {
			break
		}
		if err != nil {
			return "", fmt.Errorf("read the request: %w", err)
		}
		prev, c := byte(0), first[n-1]
		if n > 1 {
			prev = first[n-2]
		}
		switch {
		case isKeyByte(c) && prev != '[' && prev != ']':
		case c == '[' && isKeyByte(prev):
		case c == ']' && prev == '[':
		case c == '=' && (isKeyByte(prev) || prev == ']'):
			return "git", nil
		default:
			return "docker", nil
		}
	}
	return "docker", nil
}

func isKeyByte(c byte) bool { return 'a' <= c && c <= 'z' || c == '_' }
