package sandbox

import "net/http"

// Publish has the sandbox publish what the people of a company need, for "clerk-credential-helper setup ADDRESS": one
// profile, with these hosts, and the tools to set up.
func (s *Server) Publish(hosts, tools []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.company = map[string]any{
		"version": 1, "name": "Sandbox", "tools": tools,
		"profiles": map[string]any{"sandbox": map[string]any{"issuer": s.issuer, "client_id": s.options.ClientID, "hosts": hosts}},
	}
}

func (s *Server) serveCompany(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	company := s.company
	s.mu.Unlock()
	if company == nil {
		http.NotFound(w, r)
		return
	}
	writeJSON(w, http.StatusOK, company)
}

// serveResource is the metadata of a server that takes the sandbox's tokens (RFC 9728 §3).
func (s *Server) serveResource(w http.ResponseWriter, r *http.Request) {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	s.mu.Lock()
	issuer := s.issuer
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{"resource": scheme + "://" + r.Host, "authorization_servers": []string{issuer}})
}
