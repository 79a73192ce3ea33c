package DynamicWeight::KubeCredentials;

# The certificates and tokens of a real API server and of those who ask it.
# The other base of KubeCluster.
#
# What the server trusts and what the edge's files hold are kept apart, so
# that a test can renew the one before the other.

use strict;
use warnings;

use File::Copy ();
use JSON::PP;
use MIME::Base64 qw(encode_base64url);

use constant ISSUER => 'https://kubernetes.default.svc';
# The API server is so lenient with clocks.
use constant LEEWAY => 60;

# What the edge reads.
sub ca_file    { "$_[0]{dir}/ca.pem" }
sub token_file { "$_[0]{dir}/token" }
# Of a client who is the user "reader" by certificate.
sub client_certificate     { "$_[0]{dir}/reader.pem" }
sub client_certificate_key { "$_[0]{dir}/reader.key" }
# What the server's certificate is signed by.
sub authority_file { "$_[0]{dir}/authority.pem" }

sub write_token { my ($self, $token) = @_;
    $self->write('token', "$token\n", 0644) }

sub read_token {
    my ($self) = @_;
    open my $f, '<', $self->token_file or die "token: $!\n";
    chomp(my $token = <$f>);
    return $token;
}

sub write_ca {
    my ($self) = @_;
    my $ca = $self->ca_file;
    File::Copy::copy($self->authority_file, "$ca.new")
        && chmod(0644, "$ca.new") && rename("$ca.new", $ca)
        or die "$ca: $!\n";
}

sub run_openssl {
    my (@arguments) = @_;
    my $said = qx(openssl @arguments 2>&1);
    die "openssl @arguments: $said" if $?;
}

# A new authority, and with it the server's and a client's certificate.
sub make_certificates {
    my ($self) = @_;
    my $d = $self->{dir};
    my $key = '-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes';
    my $authority = $self->authority_file;
    run_openssl("req -x509 $key -days 30 -subj /CN=authority-$self->{name}",
        '-addext basicConstraints=critical,CA:TRUE',
        "-keyout $d/authority.key -out $authority");
    my %more = (
        server => 'subjectAltName=IP:127.0.0.1,DNS:localhost,'
            . 'DNS:kubernetes.default.svc',
        reader => 'extendedKeyUsage=clientAuth',
    );
    for my $name (sort keys %more) {
        $self->write("$name.ext", "$more{$name}\n");
        run_openssl("req $key -subj /CN=$name -keyout $d/$name.key",
            "-out $d/$name.csr");
        run_openssl("x509 -req -days 30 -in $d/$name.csr -CA $authority",
            "-CAkey $d/authority.key -CAcreateserial -extfile $d/$name.ext",
            "-out $d/$name.pem");
    }
    chmod 0644, "$d/reader.pem", "$d/reader.key";
    return if -e "$d/service-account.key";
    run_openssl("genrsa -out $d/service-account.key 2048");
}

# A new token for the reader, which the edge's file does not have yet. The API
# server reads its list when it starts: the previous token is refused then.
sub rotate_token {
    my ($self, $token) = @_;
    $self->{reader_token} = $token;
    return $self->restart('KILL');
}

# A new authority, which the edge's file does not have yet: the previous one no
# longer suffices.
sub rotate_authority {
    my ($self) = @_;
    $self->make_certificates;
    return $self->restart('KILL');
}

# A token of the ServiceAccount that holds for so long, as the kubelet would
# get one for a pod; it may what the user "reader" may.
sub service_account_token {
    my ($self, $ns, $name, $seconds) = @_;
    $self->namespace($ns);
    my $account = $self->apply(ServiceAccount => {
        metadata => { namespace => $ns, name => $name } });
    $self->bind_reader("account-$ns-$name", { kind => 'ServiceAccount',
        namespace => $ns, name => $name });
    my $now = time;
    my %claims = (
        iss => ISSUER, aud => [ISSUER],
        sub => "system:serviceaccount:$ns:$name",
        iat => $now - LEEWAY, nbf => $now - LEEWAY,
        exp => $now - LEEWAY + $seconds,
        'kubernetes.io' => { namespace => $ns, serviceaccount => {
            name => $name, uid => $account->{metadata}{uid} } },
    );
    my $json = JSON::PP->new->canonical->utf8;
    my $signed = join '.', map { encode_base64url($json->encode($_)) }
        { alg => 'RS256', typ => 'JWT' }, \%claims;
    my $text = $self->write('claims', $signed);
    my $signature = `openssl dgst -sha256 -binary \\
        -sign $self->{dir}/service-account.key $text`;
    return "$signed." . encode_base64url($signature);
}

1;
