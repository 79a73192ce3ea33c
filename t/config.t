#!/usr/bin/perl

# The configuration language: what is taken, and what each mistake is told.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use MIME::Base64 qw(encode_base64);
use Test::More;

my $t = DynamicWeight->new;

$t->write_file('token', "secret-token\n");
for my $name ('ca', 'other') {
    my $command = 'openssl req -x509 -newkey ec -days 30 -nodes'
        . ' -pkeyopt ec_paramgen_curve:prime256v1'
        . " -subj /CN=$name -keyout $t->{dir}/$name.key"
        . " -out $t->{dir}/$name.crt";
    my $said = `$command 2>&1`;
    die "openssl: $said" if $?;
}
chmod 0644, "$t->{dir}/token", glob "$t->{dir}/*.crt $t->{dir}/*.key";
my $ca = $t->read_file('ca.crt');
$t->write_file('base64.crt', encode_base64($ca, ''));
$t->write_file('text.crt', "no certificate\n");
$t->write_file('empty', '');
$t->write_file('two-words', "Bearer secret-token\n");
$t->write_file('bundle.crt', $ca . $t->read_file('other.crt'));
$t->write_file('part.conf', "mode poll;\ninterval 1s;\n");
$t->write_file('broken.conf', "mode poll;\n\nintervall 1s;\n");

my $zone = 'dynamic_weight_zone main:1m;';
my $cluster = 'dynamic_weight_cluster bj { api http://127.0.0.1:1;'
    . ' ingress_nodes addresses=127.0.0.1; }';
my $line = 'ingress_nodes bj service=prod/orders port=80;';

sub upstream { "upstream u { dynamic_weight; server 127.0.0.1; @_ }\n" }
sub upstream_of { my $method = shift; "upstream u { $method server 127.0.0.1; @_ }\n" }

sub bj { "$zone dynamic_weight_cluster bj { @_ }" . upstream($line) }

# What is right.

my %good = (
    'KVMs alone' => $zone . upstream(),
    'instances of a cluster without ingress nodes' => $zone
        . 'dynamic_weight_cluster bj { api http://127.0.0.1:1; }'
        . upstream('instances bj service=prod/orders port=http;'),
    'nodes alone' => "$zone $cluster upstream u { dynamic_weight; $line }",
    'an upstream before its cluster' => $zone . upstream($line) . $cluster,
    'every parameter of a line' => "$zone $cluster" . upstream(
        'ingress_nodes bj service=prod/orders port=8080 slots=4 empty=drain '
        . 'max_fails=3 fail_timeout=2s max_conns=5 backup;'),
    'several lines of a cluster' => "$zone $cluster" . upstream($line,
        'ingress_nodes bj deployment=prod/orders port=80;',
        'ingress_nodes bj pods=prod/app=x port=80;',
        'ingress_nodes bj statefulset=prod/db port=80;',
        'ingress_nodes bj rollout=prod/r port=80;',
        'ingress_nodes bj cloneset=prod/c port=80;'),
    'a line that needs an Ingress' => "$zone $cluster" . upstream(
        'ingress_nodes bj ingress=prod/a.b service=prod/orders port=80;'),
    'pods as peers, with every parameter' => "$zone $cluster" . upstream($line,
        'instances bj port=http service=prod/orders slots=8 base=20 empty=drain '
        . 'max_fails=3 fail_timeout=2s max_conns=5 slow_start=30s backup;',
        'instances bj service=prod/orders port=8080;',
        'instances bj service=prod/orders;'),
    'pods as peers alone' => "$zone $cluster upstream u { dynamic_weight; "
        . 'instances bj service=prod/orders; }',
    'pods before their cluster' => $zone
        . upstream('instances bj service=prod/orders;') . $cluster,
    'base in http and upstream' => "$zone dynamic_weight_base 100;"
        . upstream('dynamic_weight_base 7;'),
    'coalesce' => "$zone dynamic_weight_coalesce 10ms;" . upstream(),
    'state in a directory to be made' =>
        'dynamic_weight_zone main:1m state=%%DIR%%/new/state.json;'
        . upstream(),
    'every directive of a cluster' => bj('api https://127.0.0.1:1;',
        'api https://127.0.0.1:2/prefix/; token_file %%DIR%%/token;',
        'ca_file %%DIR%%/bundle.crt; tls_server_name api.local;',
        'client_certificate %%DIR%%/ca.crt;',
        'client_certificate_key %%DIR%%/ca.key; tls_verify on;',
        'ingress_nodes service=a/b; mode poll; interval 1s; timeout 2s;',
        'guard drop=30% confirm=2s;'),
    'verification switched off' => bj('api https://127.0.0.1:1;',
        'tls_verify off; ingress_nodes service=a/b;'),
    'a part of a cluster from a file' => bj('api http://127.0.0.1:1;',
        'include %%DIR%%/part.conf; ingress_nodes service=a/b;'),
    'mode watch, guard off' => bj('api http://127.0.0.1:1;',
        'ingress_nodes pods=ns/app=ingress; mode watch; guard off;'),
    'nodes by selector and type' => bj('api http://127.0.0.1:1;',
        'ingress_nodes nodes=role=ingress address=ExternalIP;'),
    'fixed addresses' => bj('api http://127.0.0.1:1;',
        'ingress_nodes addresses=10.0.0.1,fd00::1;'),
    'least_conn' => $zone . upstream_of('dynamic_weight least_conn;'),
    'hash' => $zone . upstream_of('dynamic_weight hash "$host$uri";'),
    'keepalive of our own' =>
        $zone . upstream('dynamic_weight_keepalive 8 timeout=5s time=1m '
        . 'requests=10;'),
    'keepalive of our own off' => $zone . upstream('dynamic_weight_keepalive 0;'),
    'slow start' => "$zone $cluster" . upstream(
        'ingress_nodes bj service=prod/orders port=80 slow_start=30s;'),
    'keepalive after the method' => $zone . upstream('keepalive 8;'),
    'keepalive off' => $zone . upstream('keepalive 0;'),
    'keepalive and its kin' => $zone . upstream('keepalive_requests 3; '
        . 'keepalive_time 1m; keepalive 8; keepalive_timeout 5s;'),
    'its kin before the method' => "$zone upstream u { keepalive_timeout 5s; "
        . 'dynamic_weight; server 127.0.0.1; }',
    'a stock upstream with keepalive' => 'upstream s { server 127.0.0.1; '
        . 'keepalive_timeout 5s; keepalive 8; keepalive_requests 3; }',
    'the status location' => "$zone " . upstream() . 'server { listen '
        . '127.0.0.1:%%PORT%%; location /dw/ { dynamic_weight_status; } }',
);

for my $name (sort keys %good) {
    $t->conf(http => $good{$name});
    my ($status, $said) = $t->test_conf;
    is($status, 0, "taken: $name") or diag($said);
}

# What is wrong: a part of the message, which names the mend.

my $api = 'api http://127.0.0.1:1;';
my $nodes = 'ingress_nodes addresses=127.0.0.1;';

my @wrong = (
    ['unknown cluster', $zone . upstream($line),
        qr/unknown cluster "bj" in upstream "u": define it .*nginx.conf:\d+/],
    ['no zone', $cluster . upstream($line),
        qr/no zone for upstream "u": write "dynamic_weight_zone .*conf:\d+/],
    ['zone too small for the peers', "dynamic_weight_zone main:32k; $cluster"
        . upstream('ingress_nodes bj service=a/b port=80 slots=4000;'),
        qr/too small .*write "dynamic_weight_zone main:\d+k" .*nginx.conf:\d+/],
    ['zone below the least', 'dynamic_weight_zone main:1k;' . upstream(),
        qr/zone "main" is too small: at least/],
    ['zone without size', 'dynamic_weight_zone main;', qr/"main:4m"/],
    ['zone with a bad size', 'dynamic_weight_zone main:big;', qr/such as "4m"/],
    ['zone with an unknown parameter', 'dynamic_weight_zone main:1m file=x;',
        qr/write "state=FILE"/],
    ['state is a directory', 'dynamic_weight_zone main:1m state=/tmp/;',
        qr/is a directory/],
    ['state below a file', 'dynamic_weight_zone main:1m '
        . 'state=%%DIR%%/token/state.json;', qr/is not a directory/],
    ['second zone', "$zone $zone", qr/duplicate: one zone/],
    ['zone in the upstream', $zone . upstream('zone u 64k;'),
        qr/"zone" in upstream "u" isn't needed .*remove "zone" .*conf:\d+/],
    ['ingress_nodes without the method',
        "$zone $cluster upstream u { server 127.0.0.1; $line }",
        qr/without its method: write "dynamic_weight;" .*nginx.conf:\d+/],
    ['base without the method',
        "$zone upstream u { server 127.0.0.1; dynamic_weight_base 5; }",
        qr/without its method: write "dynamic_weight;"/],
    ['keepalive without the method',
        "$zone upstream u { server 127.0.0.1; dynamic_weight_keepalive 5; }",
        qr/without its method: write "dynamic_weight;" .*nginx.conf:\d+/],
    ['keepalive twice', $zone . upstream(('dynamic_weight_keepalive 8;') x 2),
        qr/is duplicate/],
    (map { ["keepalive $_", $zone . upstream("dynamic_weight_keepalive $_;"),
        qr/invalid number "\Q$_\E" of idle connections: write how many/] }
        qw(-1 many 65536)),
    (map { ["keepalive 1 $_",
        $zone . upstream("dynamic_weight_keepalive 1 $_;"),
        qr/invalid parameter "\Q$_\E": write "timeout=60s"/] }
        qw(timeout= timeout=0 time=soon requests=0 requests=x idle=4)),
    ['both keepalives',
        $zone . upstream('dynamic_weight_keepalive 8; keepalive 8;'),
        qr/both "dynamic_weight_keepalive" and "keepalive" in an upstream/],
    ['both keepalives, the other way round',
        $zone . upstream('keepalive 8; dynamic_weight_keepalive 8;'),
        qr/both "dynamic_weight_keepalive" and a "keepalive" directive/],
    (map { ["dynamic_weight_keepalive and $_",
        $zone . upstream("dynamic_weight_keepalive 8; $_ 5;"),
        qr/both "dynamic_weight_keepalive" and "$_" in an upstream/] }
        qw(keepalive_requests keepalive_time keepalive_timeout)),
    ['keepalive before',
        "$zone upstream u { keepalive 4; dynamic_weight; server 127.0.0.1; }",
        qr/write "keepalive" after "dynamic_weight"/],
    ['stock keepalive twice', $zone . upstream('keepalive 8; keepalive 8;'),
        qr/"keepalive" directive is duplicate/],
    ['keepalive_requests twice',
        $zone . upstream(('keepalive_requests 8;') x 2),
        qr/"keepalive_requests" directive is duplicate/],
    (map { ["stock keepalive $_", $zone . upstream("keepalive $_;"),
        qr/invalid number "\Q$_\E" of idle connections: write how many/] }
        qw(-1 many 65536)),
    ['a bad keepalive_time', $zone . upstream('keepalive_time soon;'),
        qr/"keepalive_time" directive invalid value/],
    (map { ["none kept, but $_",
        $zone . upstream($_), qr/no idle connection is kept .*conf:\d+/] }
        'keepalive 0; keepalive_requests 3;',
        'keepalive_timeout 3s; keepalive 0;',
        'dynamic_weight_keepalive 0 time=1m;'),
    ['bad keepalive of a stock upstream', 'upstream s { server 127.0.0.1; '
        . 'keepalive many; }', qr/invalid value "many" in "keepalive"/],
    ['unknown method', $zone . upstream_of('dynamic_weight ip_hash;'),
        qr/unknown method "ip_hash": write "dynamic_weight;"/],
    ['hash without a key', $zone . upstream_of('dynamic_weight hash;'),
        qr/unknown method "hash": write/],
    ['a wrong slow start', "$zone $cluster" . upstream(
        'ingress_nodes bj service=prod/orders port=80 slow_start=x;'),
        qr/invalid parameter "slow_start=x".*slow_start= a time/],
    ['method twice', $zone . upstream('dynamic_weight;'), qr/is duplicate/],
    ['another method before',
        "$zone upstream u { least_conn; dynamic_weight; server 127.0.0.1; }",
        qr/another balancing method must not precede .*"least_conn"/],
    ['another method after', $zone . upstream('least_conn;'),
        qr/another balancing method follows .*"least_conn".*conf:\d+/],
    ['only backup peers',
        "$zone upstream u { dynamic_weight; server 127.0.0.1 backup; }",
        qr/no peer of upstream "u" but backup ones/],
    ['line twice', "$zone $cluster" . upstream($line, $line),
        qr/duplicate "ingress_nodes bj service=prod\/orders port=80"/],
    ['no source', "$zone $cluster" . upstream('ingress_nodes bj port=80;'),
        qr/no source .*"service=NAMESPACE\/NAME"/],
    ['two sources', "$zone $cluster" . upstream(
        'ingress_nodes bj service=a/b deployment=a/b port=80;'),
        qr/second source/],
    (map { ["line with $_->[0]", "$zone $cluster"
        . upstream("ingress_nodes bj $_->[0] port=80;"), qr/$_->[1]/] }
        ['ingress=a/b', 'no source .*"service=NAMESPACE\/NAME"'],
        ['service=a/b ingress=a/b ingress=a/c',
            'second ingress "ingress=a\/c": write one in a line'],
        ['service=a/b ingress=b', '"ingress=b": write ingress=NAMESPACE\/NAME'],
        ['service=a/b ingress=', 'write ingress=NAMESPACE\/NAME'],
        ['service=a/b ingress=a/B', '"B" names no ingress: 1 to 253'],
        ['service=a/b ingress=A/b', '"A" is no namespace']),
    ['instances that need an Ingress', "$zone $cluster"
        . upstream('instances bj service=a/b ingress=a/b;'),
        qr/"ingress=a\/b": unknown parameter; write service=/],
    ['source without namespace', "$zone $cluster" . upstream(
        'ingress_nodes bj service=orders port=80;'),
        qr/NAMESPACE\/NAME/],
    ['source with a bad name', "$zone $cluster" . upstream(
        'ingress_nodes bj service=Prod/orders_ port=80;'), qr/Prod|orders_/],
    ['no port', "$zone $cluster" . upstream('ingress_nodes bj service=a/b;'),
        qr/no port .*"port=80"/],
    (map { ["port $_", "$zone $cluster"
        . upstream("ingress_nodes bj service=a/b port=$_;"),
        qr/invalid parameter "port=$_": port= takes 1 to 65535/] }
        '0', '65536', 'http'),
    (map { my ($k, $v) = @$_; ["$k=$v", "$zone $cluster"
        . upstream("ingress_nodes bj service=a/b port=80 $k=$v;"),
        qr/invalid parameter "$k=$v"/] }
        [slots => 0], [slots => 5000], [empty => 'maybe'], [max_fails => 'x'],
        [fail_timeout => 'soon'], [max_conns => '-1']),
    ['unknown parameter', "$zone $cluster"
        . upstream('ingress_nodes bj service=a/b port=80 weight=3;'),
        qr/unknown parameter "weight=3": write a source/],
    ['instances without the method', "$zone $cluster upstream u { "
        . 'server 127.0.0.1; instances bj service=a/b; }',
        qr/"instances" in upstream "u" without its method.*nginx.conf:\d+/],
    ['instances of an unknown cluster',
        "$zone $cluster" . upstream('instances sh service=a/b;'),
        qr/unknown cluster "sh" in upstream "u".*nginx.conf:\d+/],
    ['instances twice', "$zone $cluster" . upstream(
        'instances bj service=a/b port=http;',
        'instances bj port=http service=a/b slots=3;'),
        qr/duplicate "instances bj port=http service=a\/b" in upstream "u"/],
    (map { ["instances $_->[0]", "$zone $cluster"
        . upstream("instances bj $_->[0];"),
        qr/"instances bj" in upstream "u": .*$_->[1].*nginx.conf:\d+/] }
        ['slots=3', 'no source: write .*"service=NAMESPACE\/NAME"'],
        ['deployment=a/b', '"deployment=a\/b": is no source of instances'],
        ['pods=a/b=c', '"pods=a\/b=c": is no source of instances'],
        ['service=b', 'write service=NAMESPACE\/NAME'],
        ['service=a/b service=a/c', '"service=a\/c": second source'],
        ['service=a/b port=1 port=2', '"port=2": second port'],
        ['service=a/b port=0', '"port=0": a port is a number of 1 to 65535'],
        ['service=a/b port=a_b', 'write port=NUMBER or port=NAME'],
        ['service=a/b weight=3', '"weight=3": unknown parameter; write']),
    (map { ["instances $_", "$zone $cluster"
        . upstream("instances bj service=a/b $_;"),
        qr/invalid parameter "$_": base= takes 1 to 1000000, slots= takes/] }
        qw(slots=0 slots=5000 base=0 base=1000001 empty=maybe max_fails=x)),
    ['zone too small for instances', "dynamic_weight_zone main:64k; $cluster"
        . upstream('instances bj service=a/b slots=4000;'),
        qr/too small .*write "dynamic_weight_zone main:\d+k" .*nginx.conf:\d+/],
    (map { ["base $_", "$zone dynamic_weight_base $_;" . upstream(),
        qr/invalid dynamic_weight_base "$_": write a whole number/] }
        '0', '1.5', '9999999'),
    ['base twice', "$zone dynamic_weight_base 1; dynamic_weight_base 2;",
        qr/is duplicate/],
    ['coalesce no time', "$zone dynamic_weight_coalesce soon;",
        qr/write a time from 0 to 60s/],
    ['coalesce twice', "$zone dynamic_weight_coalesce 1s; "
        . 'dynamic_weight_coalesce 1s;', qr/is duplicate/],
    ['status twice', "$zone " . upstream() . 'server { listen 127.0.0.1:'
        . '%%PORT%%; location /dw/ { dynamic_weight_status; '
        . 'dynamic_weight_status; } }', qr/is duplicate/],
    ['cluster twice', "$zone $cluster $cluster",
        qr/duplicate cluster "bj": give each .* its own name/],
    ['cluster with a bad name', "$zone dynamic_weight_cluster 'b j' { }",
        qr/invalid cluster name/],
    ['cluster without API', bj($nodes), qr/has no API: write "api https/],
    ['cluster without nodes', bj($api),
        qr/where its ingress nodes are: write "ingress_nodes service=/],
    ['cluster without nodes or lines',
        "$zone dynamic_weight_cluster bj { $api }" . upstream(),
        qr/cluster "bj" does not say where its ingress nodes are: write/],
    ['unknown directive', bj("$api $nodes apis x;"),
        qr/unknown directive "apis" in cluster "bj"/],
    ['API no URL', bj("api 10.0.0.1; $nodes"), qr/https:\/\/HOST:PORT/],
    ['API of another scheme', bj("api ftp://10.0.0.1; $nodes"),
        qr/neither http nor https/],
    ['API with a password', bj("api https://a:b\@10.0.0.1; $nodes"),
        qr/use token_file/],
    ['API twice', bj("$api $api $nodes"), qr/the URL is duplicate/],
    ['token file missing', bj("$api $nodes token_file %%DIR%%/nothing;"),
        qr/"token_file" .*nothing" of cluster "bj" can't be read: correct/],
    ['CA file missing', bj("$api $nodes ca_file %%DIR%%/nothing;"),
        qr/"ca_file" .* can't be read/],
    ['certificate missing', bj("$api $nodes client_certificate /no;"),
        qr/"client_certificate" .* can't be read/],
    ['key missing', bj("$api $nodes client_certificate_key /no;"),
        qr/"client_certificate_key" .* can't be read/],
    ['certificate without key',
        bj("$api $nodes client_certificate %%DIR%%/ca.crt;"),
        qr/needs both "client_certificate" and/],
    ['key of another certificate', bj("$api $nodes",
        'client_certificate %%DIR%%/ca.crt;',
        'client_certificate_key %%DIR%%/other.key;'),
        qr/cluster "bj": ".*other.key" is the key of another certificate/],
    ['CA in base64', bj("$api $nodes ca_file %%DIR%%/base64.crt;"),
        qr/base64.crt" is base64 of PEM: decode it first/],
    ['CA of text', bj("$api $nodes ca_file %%DIR%%/text.crt;"),
        qr/text.crt" holds no PEM/],
    ['CA a key', bj("$api $nodes ca_file %%DIR%%/ca.key;"),
        qr/ca.key" holds no certificate/],
    ['CA empty', bj("$api $nodes ca_file %%DIR%%/empty;"), qr/is empty/],
    ['CA a directory', bj("$api $nodes ca_file %%DIR%%;"), qr/no regular file/],
    ['CA without verification',
        bj("$api $nodes ca_file %%DIR%%/ca.crt; tls_verify off;"),
        qr/ca_file is without effect beside tls_verify off/],
    ['token of two words', bj("$api $nodes token_file %%DIR%%/two-words;"),
        qr/two-words".* one word/],
    ['token empty', bj("$api $nodes token_file %%DIR%%/empty;"),
        qr/empty": is empty/],
    ['kubeconfig with a CA that is not there', bj("kubeconfig",
        "%%DIR%%/no-ca; $nodes"), qr/nothing.crt/],
    ['kubeconfig with CA data and insecure', bj("kubeconfig",
        "%%DIR%%/insecure; $nodes"),
        qr/without effect beside insecure-skip-tls-verify/],
    ['kubeconfig with a token of two words', bj("kubeconfig",
        "%%DIR%%/words; $nodes"), qr/one word/],
    ['included part of a cluster', bj("$api include %%DIR%%/broken.conf;"),
        qr/unknown directive "intervall" in cluster "bj".*broken.conf:3/],
    ['token file twice', bj("$api $nodes token_file %%DIR%%/token; "
        . 'token_file %%DIR%%/token;'), qr/"token_file" .*is duplicate/],
    ['mode twice', bj("$api $nodes mode poll; mode poll;"), qr/is duplicate/],
    ['bad mode', bj("$api $nodes mode push;"), qr/write "watch" or "poll"/],
    ['bad interval', bj("$api $nodes interval 1ms;"), qr/from 100ms to 1h/],
    ['bad timeout', bj("$api $nodes timeout x;"), qr/from 100ms to 1h/],
    ['bad tls_verify', bj("$api $nodes tls_verify no;"),
        qr/write "on" or "off"/],
    ['bad tls_server_name', bj("$api $nodes tls_server_name 'a b';"),
        qr/write the DNS name/],
    ['bad guard', bj("$api $nodes guard drop=half;"),
        qr/write "guard drop=50% confirm=5s"/],
    ['bad node source', bj("$api ingress_nodes hosts=a;"), qr/hosts/],
    ['bad node address', bj("$api ingress_nodes addresses=10.0.0.999;"),
        qr/10\.0\.0\.999/],
    ['number of arguments', bj("api; $nodes"), qr/number of arguments/],
    ['kubeconfig missing', bj("kubeconfig /no; $nodes"), qr/\/no/],
    ['kubeconfig beside api', bj("kubeconfig %%DIR%%/kubeconfig; $api $nodes"),
        qr/takes its API and credentials from kubeconfig/],
    ['kubeconfig with exec', bj("kubeconfig %%DIR%%/exec; $nodes"), qr/exec/],
);

# Connections kept by location.

my $local = $zone . upstream('keepalive 8 local;');
push @wrong, $t->keeps_by_location
    ? ['keepalive elsewhere', $zone . upstream('keepalive 8 global;'),
        qr/invalid parameter "global": write "local"/]
    : ['keepalive by location', $local, qr/invalid number of arguments/];
if ($t->keeps_by_location) {
    $t->conf(http => $local);
    is(($t->test_conf)[0], 0, 'taken: keepalive by location');
}

my $kubeconfig = <<'EOF';
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {USER}}]
EOF
$t->write_file('kubeconfig', $kubeconfig =~ s/USER/token: abc/r);
sub kubeconfig {
    my ($cluster, $token) = @_;
    return $kubeconfig =~ s/:1"/:1", $cluster/r =~ s/USER/token: $token/r;
}
$t->write_file('no-ca',
    kubeconfig('certificate-authority: nothing.crt', 'abc'));
$t->write_file('insecure', kubeconfig('insecure-skip-tls-verify: true, '
    . 'certificate-authority-data: ' . encode_base64($ca, ''), 'abc'));
$t->write_file('words', kubeconfig('', 'secret-token secret-token'));
$t->write_file('exec',
    $kubeconfig =~ s/USER/exec: {command: aws, apiVersion: v1}/r);

for my $case (@wrong) {
    my ($name, $http, $message) = @$case;
    $t->conf(http => $http);
    my ($status, $said) = $t->test_conf;
    isnt($status, 0, "refused: $name");
    like($said, $message, "told: $name");
    like($said, qr/\.conf:\d+/, "place: $name");
    unlike($said, qr/secret-token/, "no secret: $name");
}

$t->conf(http => bj("kubeconfig %%DIR%%/kubeconfig; $nodes"));
my ($status, $said) = $t->test_conf;
is($status, 0, 'taken: kubeconfig') or diag($said);

# The set to start from: only the files it names are elsewhere here.

mkdir "$t->{dir}/clusters";
for my $name ('bj', 'sh') {
    $t->write_file("clusters/$name.token", "x\n");
    $t->write_file("clusters/$name-ca.crt", $ca);
}
mkdir "$t->{dir}/conf.d";
$t->write_file('conf.d/tuning.json', do {
    open my $f, '<', "$DynamicWeight::root/conf.d/tuning.json" or die $!;
    local $/;
    <$f>;
});
my $set = '';
for my $file (glob "$DynamicWeight::root/conf.d/*.conf") {
    open my $f, '<', $file or die "$file: $!\n";
    $set .= do { local $/; <$f> };
}
$set =~ s{/etc/nginx/clusters}{%%DIR%%/clusters}g;
$set =~ s{/var/lib/nginx}{%%DIR%%}g;
$t->conf(http => $set);
($status, $said) = $t->test_conf;
is($status, 0, 'taken: conf.d') or diag($said);
unlike($said, qr/\[warn\]/, 'conf.d: without a warning');

# The rules that its tuning.json has as comments are good ones.

my $tuning = $t->read_file('conf.d/tuning.json');
my @examples = grep { m{\A\s+// \{} } split /\n\n/,
    ($tuning =~ /"rules": \[\n(.*)\]/s)[0];
is(scalar @examples, 4, 'tuning.json has examples');
$t->write_file('conf.d/tuning.json',
    '{ "rules": [' . join('', map { s{^\s+// }{}mgr } @examples) . '] }');
($status, $said) = $t->test_conf;
is($status, 0, 'and all of them are taken') or diag($said);

# Warnings.

$t->conf(http => $zone . $cluster . upstream());
($status, $said) = $t->test_conf;
is($status, 0, 'an unused cluster is no error');
like($said, qr/\[warn\].*cluster "bj" is never used.*nginx\.conf:\d+/,
    'but a warning');

$t->conf(http => $zone . "$cluster "
    . upstream('instances bj service=prod/orders port=http;'));
(undef, $said) = $t->test_conf;
like($said, qr/\[warn\].*"ingress_nodes" of cluster "bj" have no effect/,
    'ingress nodes that no line asks for');

chmod 0600, "$t->{dir}/token";
$t->conf(http => bj("$api $nodes token_file %%DIR%%/token;"));
($status, $said) = $t->test_conf;
is($status, 0, 'a token that workers cannot read is no error');
SKIP: {
    like($said, qr/\[warn\].*can't be read by the workers' user/,
        'but a warning when the master is root') if $> == 0;
}
like($said, qr/sends its token unencrypted/, 'http with a token: a warning');
unlike($said, qr/secret-token/, 'no secret is shown');

# The error log may be to have no warnings: who runs nginx -t is told all the same.

$t->write_file('nginx.conf',
    $t->read_file('nginx.conf') =~ s/error\.log info/error.log error/r);
like(($t->test_conf)[1], qr/^\w+: \[warn\] .*can't be read by the workers' user/m,
    'an error log of errors alone keeps no warning back') if $> == 0;

done_testing();
