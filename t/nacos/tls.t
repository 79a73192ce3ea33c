#!/usr/bin/perl

# A registry behind TLS, which is asked and subscribed to through it: a real server
# of Nacos 2.3, with HAProxy before both of its ports.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use DynamicWeight::Intermediary;
use DynamicWeight::Nacos;
use JSON::Validator;
use Test::More;

my $t = DynamicWeight->new;
my $d = $t->{dir};
my $vm = DynamicWeight::Nacos->new($t, 'VM', version => '2.3');
for my $name (qw(ours other)) {
    system("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=$name "
        . "-addext subjectAltName=IP:127.0.0.1 -keyout $d/$name.key "
        . "-out $d/$name.crt 2>/dev/null && "
        . "cat $d/$name.crt $d/$name.key > $d/$name.pem") == 0 or die "openssl\n";
}
$t->write_file('secret', "s3cr3t+of/key\n");
chmod 0644, map "$d/$_", qw(ours.crt other.crt secret);
DynamicWeight::Intermediary->new($t, 'TLS', $vm, 'haproxy', grpc => 1,
    pem => "$d/ours.pem", port => DynamicWeight::Nacos::free_ports());
$t->start_backends;

# Nacos's own server takes no notice of a signature.
my $key = 'access_key LTAIexample; secret_file %%DIR%%/secret;';
my %ways = (
    subscribed => "ca_file %%DIR%%/ours.crt; $key",
    polled => "ca_file %%DIR%%/ours.crt; $key mode poll; interval 500ms;",
    strange => 'ca_file %%DIR%%/other.crt;',
);
$t->conf(http => 'dynamic_weight_zone main:4m;' . join('', map { <<"EOF" }
    dynamic_weight_cluster $_ { type nacos; api %%TLS%%/nacos; $ways{$_} }
    upstream $_ { dynamic_weight; server 127.0.0.1:1 backup;
                  instances $_ service=orders max_fails=0; }
EOF
    sort keys %ways) . $t->edge_server('subscribed'));
$vm->await;
my $port = $t->{backend};
$vm->register('orders', '127.0.0.11', $port,
    metadata => '{"zone":"cn-beijing-a","version":"1"}');
$vm->register('orders', '127.0.0.12', $port);
$t->start;

sub has {
    my ($upstream, @ips) = @_;
    my $weights = $t->weights($upstream);
    return join(' ', sort grep { $weights->{$_} } keys %$weights)
        eq join ' ', sort @ips, '127.0.0.1';
}
my @ips = ('127.0.0.11', '127.0.0.12');
wait_ok { has('subscribed', @ips) } 'a subscription by TLS';
wait_ok { has('polled', @ips) } 'lists by TLS';
$vm->register('orders', '127.0.0.13', $port);
push @ips, '127.0.0.13';
wait_ok { has('subscribed', @ips) } 'a push by TLS';
wait_ok { has('polled', @ips) } '... and in a list';
my $watch = $t->status->{clusters}{subscribed}{watch};
unlike(join(' ', @{$watch->{warnings} // []}), qr/polled/, 'it is subscribed');
is($watch->{last_error} // '', '', 'without an error');

for my $upstream (qw(subscribed polled)) {
    my %zone = map { $_->{server} => $_->{zone} }
        @{$t->status->{upstreams}{$upstream}{peers}};
    is($zone{"127.0.0.11:$port"}, 'cn-beijing-a', "its zone: $upstream");
    is($zone{"127.0.0.12:$port"}, undef, '... and who does not say has none');
}

my @mistakes = JSON::Validator->new
    ->schema("$FindBin::Bin/../../conf.d/status.schema.json")
    ->validate($t->status);
is("@mistakes", '', 'the schema knows all of it');

wait_ok {
    ($t->status->{clusters}{strange}{watch}{last_error} // '') =~ /ca_file/
} 'a certificate of another authority is told of';
ok(has('strange'), '... and nothing is taken from there');

unlike($t->log, qr/s3cr3t/, 'no secret in the log');
unlike(http_get($t->{port}, '/dw/status')->{body}, qr/s3cr3t/,
    'no secret in the status');
$t->done;
