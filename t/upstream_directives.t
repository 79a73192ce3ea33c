#!/usr/bin/perl

# Every directive of nginx's own that may stand in an upstream, and every
# parameter of "server", beside dynamic_weight: it works, or is refused by name
# with what to write instead. The list is nginx's source's: what a newer one has
# and this test does not know fails here.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use File::Find qw(find);
use Test::More;

my $t = DynamicWeight->new;

sub slurp {
    my ($file) = @_;
    open my $f, '<', $file or die "$file: $!\n";
    local $/;
    return scalar <$f>;
}

# The source of this nginx, TEST_NGINX_SOURCE where that is set: .ci/setup static
# brings those that are tested.
my ($source) = grep {
    -e "$_/src/core/nginx.h" && slurp("$_/src/core/nginx.h") =~ /nginx_version\s+(\d+)/
        && $1 == $t->version
} $ENV{TEST_NGINX_SOURCE} // glob "$DynamicWeight::root/build/nginx-{debian,newest}";
ok($source, 'the source of this nginx is there: .ci/setup static brings it')
    or BAIL_OUT('no source');

# What it has.

my (%directive, %parameter);
find({ no_chdir => 1, wanted => sub {
    return unless /\.c$/;
    my $text = slurp($_);
    $directive{$1} = 1
        while $text =~ /\{\s*ngx_string\("(\w+)"\),\s*[^{},]*NGX_HTTP_UPS_CONF/g;
    my ($server) = $text =~ /^ngx_http_upstream_server\((.*?)^\}/ms or return;
    $parameter{$1} = 1
        while $server =~ /ngx_strn?cmp\(value\[i\]\.data, "([\w=]+)"/g;
} }, "$source/src/http");
note('directives: ', join ' ', sort keys %directive);
note('parameters: ', join ' ', sort keys %parameter);
cmp_ok(scalar keys %directive, '>=', 10, 'directives are found');
cmp_ok(scalar keys %parameter, '>=', 6, 'and parameters');

# What is right: 'works', or what the refusal says.

my $method = qr/another balancing method (?:follows|must not precede).*remove one/;
my $bound = qr/"sticky".* in upstream "u" can't work.*dynamic_weight hash KEY/;
my %is = (
    server             => ['server 127.0.0.2;' => 'works'],
    zone               => ['zone u 64k;' => qr/remove "zone"/],
    hash               => ['hash $uri;' => $method],
    ip_hash            => ['ip_hash;' => $method],
    least_conn         => ['least_conn;' => $method],
    least_time         => ['least_time header;' => $method],
    random             => ['random two;' => $method],
    keepalive          => ['keepalive 8;' => 'works'],
    keepalive_requests => ['keepalive_requests 8;' => 'works'],
    keepalive_time     => ['keepalive_time 8m;' => 'works'],
    keepalive_timeout  => ['keepalive_timeout 8s;' => 'works'],
    resolver           => ['resolver 127.0.0.1;' =>
        qr/"resolver" in upstream "u" is without effect.*remove it/],
    resolver_timeout   => ['resolver_timeout 5s;' =>
        qr/"resolver_timeout" in upstream "u" is without effect.*remove it/],
    response_time_factor => ['response_time_factor 80;' =>
        qr/"response_time_factor" in upstream "u" is without effect.*remove it/],
    sticky             => ['sticky cookie srv_id expires=1h;' => $bound],
);
my %server_is = (
    'weight='       => ['weight=2' => 'works'],
    'max_conns='    => ['max_conns=2' => 'works'],
    'max_fails='    => ['max_fails=2' => 'works'],
    'fail_timeout=' => ['fail_timeout=2s' => 'works'],
    'backup'        => ['backup' => 'works'],
    'down'          => ['down' => 'works'],
    'drain'         => ['drain' => qr/"drain" keeps bound.*write "down"/],
    'route='        => ['route=a' =>
        qr/"route=": sessions are not bound.*dynamic_weight hash KEY/],
    'sid='          => ['sid=a' =>
        qr/"sid=" or "route=": sessions are not bound.*dynamic_weight hash KEY/],
    'id='           => ['id=a' =>
        qr/"id=": sessions are not bound.*dynamic_weight hash KEY/],
    'slow_start='   => ['slow_start=5s' =>
        qr/does not support parameter "slow_start=5s"/],
    'resolve'       => ['resolve' =>
        qr/"resolve": names are resolved when.*"ingress_nodes"/],
    'service='      => ['service=http resolve' =>
        qr/"service=": SRV records.*"ingress_nodes"/],
);

# Those of Angie go with "sticky".
is(join(' ', grep { !$is{$_} && !/^sticky_/ } sort keys %directive), '',
    'every directive is known here');
is(join(' ', grep { !$server_is{$_} } sort keys %parameter), '',
    'and every parameter');

sub try_it {
    my ($name, $known, $says, $want) = @_;
    $t->conf(http => "dynamic_weight_zone main:1m;\nupstream u { $says }\n");
    my ($status, $said) = $t->test_conf;
    if (!$known) {
        like($said, qr/unknown directive|invalid parameter|is not allowed here/,
            "$name: this nginx does not know it, and says so");
    } elsif ($want eq 'works') {
        is($status, 0, "$name works") or diag($said);
    } else {
        like($said, $want, "$name is refused");
        like($said, qr/nginx\.conf:\d+/, "$name: with its place");
        isnt($status, 0, "$name: indeed");
    }
}

my $one = 'server 127.0.0.1;';
for my $name (sort keys %is) {
    my ($says, $want) = @{$is{$name}};
    try_it("$name after it", $directive{$name}, "dynamic_weight; $one $says",
        $want);
    next unless ref $want;
    $want = $method if $name eq 'sticky';
    try_it("$name before it", $directive{$name}, "$says dynamic_weight; $one",
        $want);
}
for my $says ('sticky route $cookie_a;', 'sticky learn create=$upstream_cookie_a'
    . ' lookup=$cookie_a zone=client_sessions:1m;')
{
    try_it($says, $directive{sticky}, "dynamic_weight; $one $says", $bound);
}
for my $name (sort keys %server_is) {
    my ($says, $want) = @{$server_is{$name}};
    my $host = $says =~ /resolve/
        ? 'kvm.example.test' . ($says =~ /service/ ? '' : ':80') : '127.0.0.2';
    try_it("server ... $says", $parameter{$name},
        "dynamic_weight; $one server $host $says;", $want);
}
try_it('server ADDRESS resolve, which needs none', $parameter{resolve},
    'dynamic_weight; server 127.0.0.1 resolve;', 'works');

if ($parameter{'slow_start='}) {
    try_it('server ... slow_start=5s before it', 1,
        'server 127.0.0.2 slow_start=5s; dynamic_weight;',
        qr/"slow_start=" is for peers that join others/);
}

# What nginx's commercial brother has: this one knows nothing of it.

try_it($_, 0, "dynamic_weight; $one $_")
    for 'queue 10;', 'state u.conf;', 'ntlm;',
        $parameter{'slow_start='} ? () : 'server 127.0.0.2 slow_start=5s;';

$t->cleanup;
done_testing();
