#!/usr/bin/perl

# TLS to the peers: what a handshake proved, who the peer is and who we are,
# goes with its session and its connection to nobody else; names that depend on
# the peer.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use Test::More;

my $t = DynamicWeight->new(workers => 1);
my $d = $t->dir;
my $bj = $t->fake_cluster('BJ');
$bj->app('prod', 'orders', 1);
$bj->nodes('127.0.0.11');

# ---- Who is who: "ours" has signed alice, bob and the servers, "other" nobody.

sub openssl {
    my ($command) = @_;
    system("cd $d && openssl $command 2>>openssl.log") == 0
        or die "openssl $command:\n" . $t->read_file('openssl.log');
}
for my $ca (qw(ours other)) {
    openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=$ca "
        . "-keyout $ca.key -out $ca.crt");
}
$t->write_file('names', "subjectAltName=DNS:kvm.test,DNS:bj.test\n");
for my $name (qw(alice bob server)) {
    openssl("req -newkey rsa:2048 -nodes -subj /CN=$name -keyout $name.key "
        . "-out $name.csr");
    openssl("x509 -req -in $name.csr -CA ours.crt -CAkey ours.key "
        . '-CAcreateserial -days 2 '
        . ($name eq 'server' ? '-extfile names ' : '') . "-out $name.crt");
}
chmod 0644, glob "$d/*.key";    # for workers of another user

# ---- The edge is its own backend: it says whom it met, and how.

my %tls = map { $_ => free_port() } qw(TLSv1.2 TLSv1.3);
my $backends = join "\n", map { <<"EOF" } sort keys %tls;
    server {
        listen                  $tls{$_} ssl;
        ssl_certificate         $d/server.crt;
        ssl_certificate_key     $d/server.key;
        ssl_client_certificate  $d/ours.crt;
        ssl_verify_client       optional;
        ssl_protocols           $_;
        ssl_session_cache       shared:backends:1m;
        add_header              X-Name later.test;
        return 200 "\$ssl_client_s_dn \$ssl_session_reused \$ssl_server_name\\n";
    }
EOF

my $trusting = "proxy_ssl_verify on; proxy_ssl_trusted_certificate $d/ours.crt;";

sub locations {
    my ($upstream) = @_;
    my %says = (
        alice => "proxy_ssl_certificate $d/alice.crt; "
            . "proxy_ssl_certificate_key $d/alice.key;",
        bob => "proxy_ssl_certificate $d/bob.crt; "
            . "proxy_ssl_certificate_key $d/bob.key;",
        either => "proxy_ssl_certificate $d/\$arg_who.crt; "
            . "proxy_ssl_certificate_key $d/\$arg_who.key;",
        anyone => '',
        trusted => "$trusting proxy_ssl_name kvm.test;",
        untrusted => 'proxy_ssl_verify on; proxy_ssl_name kvm.test; '
            . "proxy_ssl_trusted_certificate $d/other.crt;",
        named => "$trusting proxy_ssl_name \$arg_name; "
            . 'proxy_ssl_server_name on;',
        mapped => "$trusting proxy_ssl_name \$by_address; "
            . 'proxy_ssl_server_name on;',
        cluster => "$trusting proxy_ssl_name \$by_cluster; "
            . 'proxy_ssl_server_name on;',
        later => "$trusting proxy_ssl_name \$later;",
    );
    return map { "location /$upstream/$_ { proxy_pass https://$upstream; "
        . "$says{$_} }\n" } sort keys %says;
}

my (@versions, @locations);
my $http = <<"EOF";
    dynamic_weight_zone main:1m;
    dynamic_weight_cluster bj {
        api            %%BJ%%;
        ingress_nodes  nodes=role=ingress;
    }
    map \$upstream_addr \$by_address {
        default          nobody.test;
        ~127.0.0.1:      kvm.test;
        ~127.0.0.11:     bj.test;
    }
    map \$dynamic_weight_peer_cluster \$by_cluster {
        default          nobody.test;
        -                kvm.test;
        bj               bj.test;
    }
    map \$upstream_http_x_name \$later {
        volatile;
        ""               \$arg_name;
        default          \$upstream_http_x_name;
    }
    $backends
EOF
for my $version (sort keys %tls) {
    my $name = $version =~ s/\W//gr;
    push @versions, $name;
    my %peers = (
        fresh => "dynamic_weight_keepalive 0; server 127.0.0.1:$tls{$version};",
        kept  => "server 127.0.0.1:$tls{$version};",
        node  => "ingress_nodes bj service=prod/orders port=$tls{$version};",
    );
    for my $kind (sort keys %peers) {
        $http .= "upstream ${kind}_$name { dynamic_weight; $peers{$kind} }\n";
        push @locations, locations("${kind}_$name");
    }
}
$t->conf(http => <<"EOF");
    $http
    server {
        listen              127.0.0.1:%%PORT%%;
        proxy_http_version  1.1;
        proxy_ssl_protocols TLSv1.2 TLSv1.3;
        proxy_set_header    Connection "";
        @locations
        location /dw/ { dynamic_weight_status; }
    }
EOF
ok($t->start, 'nginx starts');
wait_ok { http_get($t->port, '/dw/ready')->{status} == 200 } 'ready';

# The answer: who we were, whether the session was resumed, the name asked for.
sub ask {
    my ($uri) = @_;
    my $answer = http_get($t->port, $uri) // { status => 'none' };
    return ($answer->{status}) x 3 unless $answer->{status} eq '200';
    my ($who, $resumed, $name) = $answer->{body} =~ /^(.*) (\S) (.*)\n/;
    return ($who =~ s/^CN=//r, $resumed, $name);
}

# Who the peer takes us for, or the status, in each of some locations, thrice.
sub taken_for {
    my ($upstream, @locations) = @_;
    return join ' ', map { (ask("/$upstream/$_"))[0] || 'nobody' }
        (@locations) x 3;
}
sub thrice { return join ' ', (@_) x 3 }

for my $upstream (map { ("fresh_$_", "kept_$_") } @versions) {
    is(taken_for($upstream, 'alice', 'bob', 'either?who=alice',
            'either?who=bob', 'anyone'),
        thrice(qw(alice bob alice bob nobody)),
        "$upstream: each arrives as who it is");

    is(taken_for($upstream, qw(anyone trusted untrusted)),
        thrice(qw(nobody nobody 502)), "$upstream: nobody else's trust counts");

    is(taken_for($upstream, map { "named?name=$_.test" } qw(kvm bj nobody)),
        thrice(qw(nobody nobody 502)), "$upstream: each by its name");

    # More identities than sessions are kept of.

    is(taken_for($upstream, qw(alice bob anyone trusted either?who=bob
            named?name=kvm.test untrusted)),
        thrice(qw(alice bob nobody nobody bob nobody 502)),
        "$upstream: all of them");

    # A name that is another one after the answer: the previous was proved.

    is(taken_for($upstream, map { "later?name=$_.test" } qw(kvm later)),
        thrice(qw(nobody 502)), "$upstream: a name that the answer changes");
}

# Sessions are resumed all the same.

for my $upstream (map { "fresh_$_" } @versions) {
    my @resumed = map { (ask("/$upstream/$_"))[1] }
        ('alice', 'bob', 'trusted', 'named?name=bj.test') x 2;
    is(join('', @resumed[4 .. 7]), 'rrrr', "$upstream: each resumes its own");
}

# ---- Names by the peer, whether or not there are kept connections to it.

for my $case (map { (["kept_$_" => 'kvm.test'], ["node_$_" => 'bj.test']) }
    @versions)
{
    my ($upstream, $name) = @$case;
    ask("/$upstream/anyone");
    is(join(' ', map { (ask("/$upstream/$_"))[2] } qw(mapped cluster) x 2),
        join(' ', ($name) x 4), "$upstream: named by address and by cluster");
}

$t->done;
