// Command coraza prints the CPU time a request costs Coraza. Usage: coraza RULES.conf REQUESTS_FOLDER ROUNDS
// (see ../README.md).
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/corazawaf/coraza/v3"
)

type request struct {
	name, method, target, body string
	headers                    [][2]string
}

func main() {
	if len(os.Args) != 4 {
		fail(fmt.Errorf("usage: coraza RULES.conf REQUESTS_FOLDER ROUNDS"))
	}
	rounds, err := strconv.Atoi(os.Args[3])
	fail(err)
	waf, err := coraza.NewWAF(coraza.NewWAFConfig().WithDirectivesFromFile(os.Args[1]))
	fail(err)
	files, err := filepath.Glob(filepath.Join(os.Args[2], "*.http"))
	fail(err)
	for _, file := range files {
		sample := read(file)
		refused := 0
		if exchange(waf, sample) {
			refused = 1
		}
		before := cpuMicroseconds()
		for range rounds {
			exchange(waf, sample)
		}
		fmt.Printf("%s blocked=%d cpu_us=%.2f\n", sample.name, refused, (cpuMicroseconds()-before)/float64(rounds))
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func read(file string) request {
	text, err := os.ReadFile(file)
	fail(err)
	head, body, _ := strings.Cut(string(text), "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	words := strings.Split(lines[0], " ")
	sample := request{name: strings.TrimSuffix(filepath.Base(file), ".http"), method: words[0], target: words[1], body: body}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		sample.headers = append(sample.headers, [2]string{name, value})
	}
	return sample
}

// exchange runs one exchange through all phases; true if it was refused.
func exchange(waf coraza.WAF, sample request) bool {
	tx := waf.NewTransaction()
	defer func() { tx.ProcessLogging(); tx.Close() }()
	tx.ProcessConnection("127.0.0.1", 12345, "127.0.0.1", 80)
	tx.ProcessURI(sample.target, sample.method, "HTTP/1.1")
	for _, header := range sample.headers {
		tx.AddRequestHeader(header[0], header[1])
	}
	tx.SetServerName("www.example.com")
	if tx.ProcessRequestHeaders() != nil {
		return true
	}
	if sample.body != "" {
		if refused, _, err := tx.WriteRequestBody([]byte(sample.body)); err != nil || refused != nil {
			return refused != nil
		}
	}
	if refused, err := tx.ProcessRequestBody(); err != nil || refused != nil {
		return refused != nil
	}
	tx.AddResponseHeader("Content-Type", "text/html; charset=utf-8")
	if tx.ProcessResponseHeaders(200, "HTTP/1.1") != nil {
		return true
	}
	refused, _ := tx.ProcessResponseBody()
	return refused != nil
}

func cpuMicroseconds() float64 {
	var spent syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &spent)
	return float64(spent.Utime.Sec+spent.Stime.Sec)*1e6 + float64(spent.Utime.Usec+spent.Stime.Usec)
}
