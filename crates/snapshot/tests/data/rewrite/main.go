// rewrite copies a snapshot through bbolt into a database with another page size or with the list of free pages in the
// file, as members write it whose machines have other pages or whose system is not Linux.
package main

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"log"
	"os"

	bolt "go.etcd.io/bbolt"
)

var (
	pageSize  = flag.Int("page-size", 4096, "bytes of a page")
	freelist  = flag.Bool("freelist", false, "keep the list of free pages in the file")
	freeBytes = flag.Int("free-bytes", 0, "bytes that are written and deleted again, so that their pages are free")
)

func main() {
	flag.Parse()
	snapshot, err := os.ReadFile(flag.Arg(0))
	check(err)
	work, err := os.MkdirTemp("", "rewrite")
	check(err)
	defer os.RemoveAll(work)
	check(os.WriteFile(work+"/from", snapshot[:len(snapshot)-sha256.Size], 0o600))

	from, err := bolt.Open(work+"/from", 0o600, &bolt.Options{ReadOnly: true})
	check(err)
	to, err := bolt.Open(work+"/to", 0o600, &bolt.Options{PageSize: *pageSize, NoFreelistSync: !*freelist})
	check(err)
	check(bolt.Compact(to, from, 64<<10))
	if *freeBytes > 0 {
		update(to, func(b *bolt.Bucket) error { return b.Put([]byte("filler"), make([]byte, *freeBytes)) })
		update(to, func(b *bolt.Bucket) error { return b.Delete([]byte("filler")) })
	}

	var out bytes.Buffer
	check(to.View(func(tx *bolt.Tx) error {
		_, err := tx.WriteTo(&out)
		return err
	}))
	sum := sha256.Sum256(out.Bytes())
	out.Write(sum[:])
	check(os.WriteFile(flag.Arg(1), out.Bytes(), 0o600))
	check(to.Close())
	check(from.Close())
}

func update(db *bolt.DB, change func(*bolt.Bucket) error) {
	check(db.Update(func(tx *bolt.Tx) error { return change(tx.Bucket([]byte("meta"))) }))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
