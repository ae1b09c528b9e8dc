issue() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
        -subj "/CN=$1" -addext "subjectAltName=DNS:$1" -keyout "$1.key" -out "$1.csr"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -days 30 -copy_extensions copy -out "$1.pem"
}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
    -subj "/CN=Test CA" -days 30 -keyout ca.key -out ca.pem
issue localhost
issue client
issue other
openssl x509 -in client.pem -outform DER -out client.der
