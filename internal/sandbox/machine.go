package sandbox

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// MachineKey is the secret key of the one machine that every sandbox knows, for CLERK_MACHINE_SECRET_KEY. Clerk's own
// begin with "ak_" too.
const MachineKey = "ak_sandbox_machine"

// machineSubject is the machine's id.
const machineSubject = "mch_sandbox"

// serveMachineToken mints a machine-to-machine token: POST /v1/m2m_tokens of Clerk's Backend API, 2026-05-12.
func (s *Server) serveMachineToken(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, code, message string) {
		writeJSON(w, status, map[string]any{"errors": []map[string]string{{"code": code, "message": message, "long_message": message}}})
	}
	if r.Header.Get("Authorization") != "Bearer "+MachineKey {
		refuse(http.StatusUnauthorized, "machine_secret_key_invalid", "The machine secret key is not valid")
		return
	}
	var question struct {
		Format string `json:"token_format"`
		Life   *int64 `json:"seconds_until_expiration"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxForm)).Decode(&question); err != nil {
		refuse(http.StatusBadRequest, "request_body_invalid", "The body is not the JSON of a request")
		return
	}
	// Clerk takes a missing lifetime for the machine's default, or for ever: a client that forgets it gets an error
	// here.
	if question.Life == nil || *question.Life < 1 || question.Format != "jwt" && question.Format != "opaque" {
		refuse(http.StatusUnprocessableEntity, "form_param_invalid", "seconds_until_expiration and token_format are wanted")
		return
	}
	token, id, now, until, err := s.mint(question.Format, time.Duration(*question.Life)*time.Second)
	if err != nil {
		refuse(http.StatusInternalServerError, "internal", err.Error())
		return
	}
	writeJSON(w, http.StatusCreated, map[string]any{"object": "machine_to_machine_token", "id": id, "subject": machineSubject,
		"token": token, "claims": nil, "scopes": []string{}, "revoked": false, "expired": false, "expiration": until.UnixMilli(),
		"created_at": now.UnixMilli(), "updated_at": now.UnixMilli()})
}

func (s *Server) mint(format string, life time.Duration) (token, id string, now, until time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now = s.now()
	until = now.Add(life)
	id = "mt_" + rand.Text()
	if format == "opaque" {
		s.machines[id] = until
		return s.note(id), id, now, until, nil
	}
	token, err = s.sign("JWT", map[string]any{"iss": s.issuer, "sub": machineSubject, "jti": id,
		"iat": now.Unix(), "nbf": now.Unix() - 10, "exp": until.Unix()})
	return s.note(token), id, now, until, err
}

// isMachine reports whether the claims are those of a machine's JWT, which is no OAuth access token.
func isMachine(kind any, subject string) bool {
	return kind == "JWT" && strings.HasPrefix(subject, "mch_")
}
