#!/usr/bin/perl

# conf.d/rbac on a real kube-apiserver: with a source's manifests as they are
# shipped the watcher is denied nothing and has asked for all that they grant;
# without any one entry of their rules the source fails, and says what it lacks.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use JSON::PP;
use Test::More;

use constant ACCOUNT => 'system:serviceaccount:kube-system:nginx-dynamic-weight';

my $t = DynamicWeight->new;

# What the account asked for, and what it was told, is in audit.log.
my $audit = $t->write_file('audit.log', '');
my $policy = $t->write_file('audit.yaml', <<"EOF_POLICY");
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users: ["@{[ACCOUNT]}"]
- level: None
EOF_POLICY

my $kube = $t->kube_cluster('BJ', apiserver => [
    "--audit-policy-file=$policy", "--audit-log-path=$audit",
    '--audit-log-mode=blocking']);
$kube->app('prod', 'orders', 3, deployment => 1, statefulset => 1,
    rollout => 1, cloneset => 1, pod_objects => 1);
$kube->ingress('prod', 'orders');
$kube->karmada('orders', bj => [3, 3]);
$kube->app('edge', 'controller', 2);
$kube->nodes('127.0.0.11');

# ---- Manifests.

# The text of conf.d/rbac/NAME.yaml for each name, as one.
sub manifest {
    my (@names) = @_;
    return join "---\n", map {
        open my $f, '<', "$DynamicWeight::root/conf.d/rbac/$_.yaml"
            or die "$_: $!\n";
        local $/;
        scalar <$f>;
    } @names;
}

# Applies each document as `kubectl apply --server-side` does: the first status
# that is none of success, or 200.
sub apply {
    my ($text) = @_;
    for my $document (split /^---\n/m, $text) {
        my ($version) = $document =~ /^apiVersion: (\S+)/m;
        my ($kind) = $document =~ /^kind: (\w+)/m;
        my ($metadata) = $document =~ /^metadata:\n((?: .*\n)+)/m;
        my ($name) = $metadata =~ /^  name: (\S+)/m;
        my ($ns) = $metadata =~ /^  namespace: (\S+)/m;
        my $path = ($version eq 'v1' ? '/api/' : '/apis/') . $version
            . ($ns ? "/namespaces/$ns/" : '/') . lc($kind)
            . "s/$name?fieldManager=edge&force=true";
        my ($status, $answer) = $kube->api(PATCH => $path, \$document,
            type => 'application/apply-patch+yaml');
        return $status if $status >= 300 || $status == 0;
    }
    return 200;
}

# The rights a manifest's rules give: "VERB GROUP/RESOURCE", sorted.
sub rights {
    my ($text) = @_;
    my @rights;
    my $rule = qr/^- apiGroups:\n  - "(.*)"\n  resources:\n  - (\w+)\n/m;
    while ($text =~ /$rule  verbs:\n((?:  - \w+\n)*)/g) {
        my ($group, $resource, $verbs) = ($1, $2, $3);
        push @rights, map { "$_ $group/$resource" } $verbs =~ /(\w+)\n/g;
    }
    return sort @rights;
}

# Waits until the authorizer's cache has it: whether the account may.
sub wait_right {
    my ($right, $ns, $wanted) = @_;
    my ($verb, $group, $resource) = $right =~ m{^(\w+) (.*)/(\w+)$};
    return wait_for {
        my $review = $kube->call(POST =>
            '/apis/authorization.k8s.io/v1/subjectaccessreviews', {
                kind => 'SubjectAccessReview',
                apiVersion => 'authorization.k8s.io/v1',
                spec => { user => ACCOUNT,
                    groups => ['system:serviceaccounts',
                        'system:authenticated'],
                    resourceAttributes => { verb => $verb, group => $group,
                        resource => $resource,
                        $ns ? (namespace => $ns) : () } } });
        $wanted == ($review->{status}{allowed} ? 1 : 0)
    } "the right to $right";
}

sub remove_all {
    for my $kind (qw(ClusterRoleBinding ClusterRole)) {
        $kube->delete($kind, undef, $_) for grep { /^nginx-dynamic-weight/ }
            map { $_->{metadata}{name} } $kube->list($kind);
    }
    $kube->delete(RoleBinding => 'prod', $_) for
        map { $_->{metadata}{name} } $kube->list(RoleBinding => 'prod');
}

# ---- The edge.

is(apply(manifest('account')), 200, 'account.yaml is taken');
my $token = $kube->call(POST => '/api/v1/namespaces/kube-system'
    . '/serviceaccounts/nginx-dynamic-weight/token',
    { apiVersion => 'authentication.k8s.io/v1', kind => 'TokenRequest',
        spec => { expirationSeconds => 3600 } });
$kube->write('account-token', $token->{status}{token}, 0644);

sub start_edge {
    my ($source, $nodes) = @_;
    my $is_member = $source =~ /^binding=/;
    my ($cluster, $own, $member) = $is_member
        ? ('m', '', "dynamic_weight_cluster m { via bj; member bj; $nodes }")
        : ('bj', $nodes, '');
    $t->write_file('error.log', '');
    $t->conf(http => <<"EOF_CONF" . $t->edge_server('orders'));
    dynamic_weight_zone main:1m;
    dynamic_weight_cluster bj {
        api            %%BJ%%;
        token_file     $kube->{dir}/account-token;
        ca_file        %%BJ_CA%%;
        $own
    }
    $member
    upstream orders {
        dynamic_weight;
        ingress_nodes  $cluster $source port=80;
    }
EOF_CONF
    return $t->start;
}

# The account's requests since a place in the audit log: those with which a
# list or a watch began.
sub asked {
    my ($since) = @_;
    return map { decode_json($_) }
        grep { /\n\z/ && /"user":\{"username":"\Q@{[ACCOUNT]}\E"/ }
        split /^/, substr $t->read_file('audit.log'), $since;
}

sub right_of {
    my ($event) = @_;
    my $object = $event->{objectRef};
    return "$event->{verb} " . ($object->{apiGroup} // '')
        . "/$object->{resource}";
}

# ---- Each source. Where it reads: a namespace, or "" for the whole cluster.

my $fixed = 'ingress_nodes addresses=127.0.0.11;';
my %source = (
    'service' => { files => ['service'], ns => 'prod',
        line => 'service=prod/orders', nodes => $fixed },
    # Refused as a whole, it is asked for in each namespace.
    'service, several namespaces' => { ns => '',
        then => ' in namespace (?:prod|edge)',
        files => ['service', 'service-namespaces'],
        line => 'service=prod/orders', nodes => 'ingress_nodes service=edge/controller;' },
    'pods' => { files => ['pods'], ns => 'prod',
        line => 'pods=prod/app=orders',
        nodes => 'ingress_nodes pods=prod/app=orders;' },
    'deployment' => { files => ['deployment'], ns => 'prod',
        line => 'deployment=prod/orders', nodes => $fixed },
    'statefulset' => { files => ['statefulset'], ns => 'prod',
        line => 'statefulset=prod/orders', nodes => $fixed },
    'rollout' => { files => ['rollout'], ns => 'prod',
        line => 'rollout=prod/orders', nodes => $fixed },
    'cloneset' => { files => ['cloneset'], ns => 'prod',
        line => 'cloneset=prod/orders', nodes => $fixed },
    'ingress' => { files => ['ingress'], with => ['service'], ns => 'prod',
        line => 'service=prod/orders ingress=prod/orders', nodes => $fixed },
    'nodes' => { files => ['nodes'], with => ['service'], ns => '',
        line => 'service=prod/orders',
        nodes => 'ingress_nodes nodes=role=ingress;' },
    # Of a Karmada control plane, which "bj" is then.
    'binding' => { files => ['binding'], with => ['members'], ns => 'prod',
        line => 'binding=prod/orders-deployment', nodes => $fixed },
    'members' => { files => ['members'], with => ['binding'], ns => '',
        line => 'binding=prod/orders-deployment', nodes => $fixed },
);

my %shipped = map { $_ => 1 } map { @{$_->{files}} } values %source;
is(join(' ', sort keys %shipped, 'account'),
    join(' ', sort map { m{([^/]+)\.yaml$} }
        glob "$DynamicWeight::root/conf.d/rbac/*"),
    'each manifest is tested');

for my $name (sort keys %source) {
    my ($files, $with, $ns, $then, $line, $nodes)
        = @{$source{$name}}{qw(files with ns then line nodes)};
    remove_all();

    # As it is shipped.

    my $text = manifest(@$files);
    my @others = $with ? manifest(@$with) : ();
    is(apply($_), 200, "$name: the manifest is taken") for $text, @others;
    my @rights = sort map { rights($_) } $text, @others;
    my ($right) = rights($text);
    ok(wait_right($right, $ns, 1), "$name: it is in force");

    my $mark = length $t->read_file('audit.log');
    start_edge($line, $nodes);
    wait_ok {
        $t->status->{clusters}{bj}{watch}{synced}
            && keys %{{ map { right_of($_) => 1 } asked($mark) }} >= @rights
    } "$name: synced; everything that is granted is asked for";
    my @asked = asked($mark);
    my %asked = map { right_of($_) => 1 } @asked;
    is(join(', ', sort keys %asked), join(', ', @rights),
        "$name: nothing else is");
    is(join(', ', map { right_of($_) } grep {
        $_->{responseStatus}{code} >= 400 } @asked), '',
        "$name: nothing is denied");
    unlike($t->log, qr/HTTP 403/, "$name: nor does the log tell of any");
    $t->stop;

    # Without one entry. A rule with no group or no resource is refused as a
    # whole: a resource goes with its rule.

    for my $gone ($text =~ /^  - (.*)\n/mg) {
        my $cut = $text =~ s/^  - \Q$gone\E\n//mr;
        next if $gone =~ /^(?:list|watch)$/;    # below
        is(apply($cut), 422, "$name: refused without $gone");
    }

    my ($resource) = $right =~ m{/(\w+)$};
    my %cut = (
        list  => $text =~ s/^  - list\n//mr,
        watch => $text =~ s/^  - watch\n//mr,
        rules => $text =~ s/^rules:\n(?:[- ] .*\n)+/rules: []\n/mr,
        subjects => $text =~ s/^subjects:\n(?:[- ] .*\n)+/subjects: []\n/mgr,
    );
    for my $gone (sort keys %cut) {
        my $verb = $gone eq 'watch' ? 'watch' : 'list';
        is(apply($cut{$gone}), 200, "$name: taken without $gone");
        ok(wait_right("$verb $right" =~ s/ \w+ / /r, $ns, 0),
            "$name: in force without $gone") or next;
        start_edge($line, $nodes);
        my $what = $resource . ($ns && " in namespace $ns");
        my $lacking = qr/HTTP 403: the token may not $verb $what;/;
        wait_ok { $t->log =~ /\[error\].* cluster "bj": .*$lacking/ }
            "$name: without $gone: the log says what is lacking";
        $lacking = qr/HTTP 403: the token may not $verb $resource$then;/
            if $then;
        wait_ok { $t->status->{clusters}{bj}{watch}{last_error} =~ $lacking }
            "$name: without $gone: the status, too";
        # An Ingress of which nobody knows is taken to be there.
        my $ready = $verb eq 'watch' || $name eq 'ingress' ? 200 : 503;
        wait_ok { http_get($t->port, '/dw/ready')->{status} == $ready }
            "$name: without $gone: ready answers $ready";
        $t->stop;
    }
}

unlike($t->log, qr/\Q$token->{status}{token}/, 'no token in the log');
$t->done;
