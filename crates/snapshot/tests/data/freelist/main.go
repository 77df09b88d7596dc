// freelist rewrites a snapshot the way a member writes it that keeps the list of free pages in the file.
package main

import (
	"bytes"
	"crypto/sha256"
	"log"
	"os"

	bolt "go.etcd.io/bbolt"
)

func main() {
	snapshot, err := os.ReadFile(os.Args[1])
	check(err)
	copied := os.Args[2] + ".work"
	check(os.WriteFile(copied, snapshot[:len(snapshot)-sha256.Size], 0o600))
	db, err := bolt.Open(copied, 0o600, &bolt.Options{NoFreelistSync: false})
	check(err)
	check(db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("cluster")).Put([]byte("clusterVersion"), []byte("3.6.0"))
	}))
	var out bytes.Buffer
	check(db.View(func(tx *bolt.Tx) error {
		_, err := tx.WriteTo(&out)
		return err
	}))
	sum := sha256.Sum256(out.Bytes())
	out.Write(sum[:])
	check(os.WriteFile(os.Args[2], out.Bytes(), 0o600))
	check(db.Close())
	check(os.Remove(copied))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
