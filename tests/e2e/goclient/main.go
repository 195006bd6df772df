// SPDX-License-Identifier: Apache-2.0

// A client as Go programs are: net/http with its connection pool. Arguments: the base URL of an origin.
// Requests with the header x-v2 must be answered by v2, the others by v1.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
)

type seen struct {
	Version string
	Body    int
	Target  string
}

func do(method, url string, v2, chunked bool, size int) error {
	var body io.Reader
	if size > 0 {
		body = strings.NewReader(strings.Repeat("g", size))
		if chunked {
			body = io.MultiReader(body) // hides the length
		}
	}
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		return err
	}
	req.Host = "origin"
	want := "v1"
	if v2 {
		req.Header.Set("x-v2", "1")
		want = "v2"
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != 200 || res.Header.Get("x-version") != want {
		return fmt.Errorf("%s %s: %d from %s, want %s", method, url, res.StatusCode, res.Header.Get("x-version"), want)
	}
	if method == "HEAD" {
		return nil
	}
	var s seen
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	if s.Body != size || s.Version != want || !strings.HasSuffix(url, s.Target) {
		return fmt.Errorf("%s %s: the server saw %+v", method, url, s)
	}
	return nil
}

func main() {
	var wg sync.WaitGroup
	errs := make(chan error, 10000)
	for c := 0; c < 16; c++ {
		wg.Add(1)
		go func(c int) {
			defer wg.Done()
			for i := 0; i < 50; i++ {
				url := fmt.Sprintf("%s/echo?%d.%d", os.Args[1], c, i)
				method, size := "GET", 0
				switch i % 5 {
				case 1:
					method, size = "POST", 100+i
				case 2:
					method, size = "POST", 100000
				case 3:
					method = "HEAD"
				}
				if err := do(method, url, i%2 == 1, i%10 == 2, size); err != nil {
					errs <- err
				}
			}
		}(c)
	}
	wg.Wait()
	close(errs)
	n := 0
	for err := range errs {
		if n++; n <= 10 {
			fmt.Println(err)
		}
	}
	if n > 0 {
		fmt.Println(n, "errors")
		os.Exit(1)
	}
	fmt.Println("go client: all ok")
}
